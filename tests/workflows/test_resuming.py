"""What a resumed run removes."""

from __future__ import annotations

import shutil
from pathlib import Path

import lightning
import polars
import pytest

import tailmol
from base.errors import InputError
from reports.run_files import read_run
from tests.workflows.multilabel_tables import checkpoint
from workflows.fit import fit
from workflows.fit_cli import FitCLI

FILES = ("test_metrics.json", "test_predictions.csv", "accuracy_by_applicability.json", "model_card.md")

QUICK = (
    "--config=encoder/fingerprint.yaml",
    "--config=method/cross_entropy.yaml",
    "--data.fingerprint_size=256",
    "--data.batch_size=32",
    "--trainer.accelerator=cpu",
    "--tracking.wandb=disabled",
    "--report=false",
)


class CutOff(RuntimeError):
    pass


class StopIn(lightning.Callback):
    def __init__(self, epoch: int) -> None:
        self.epoch = epoch

    def on_train_epoch_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        if trainer.current_epoch >= self.epoch:
            raise CutOff


def test_a_run_that_is_trained_further_has_no_results_before_its_test(
    multilabel_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Path(shutil.copytree(multilabel_run, tmp_path / "runs" / "drugs" / "version_0"))
    results = [*(run / name for name in FILES), checkpoint(run, "final")]
    longer = ["--ckpt_path", str(checkpoint(run, "last")), "--trainer.max_epochs=3"]
    # One that is refused before its first step keeps them.
    with pytest.raises(InputError):
        fit([*longer, "--data.label_column=[amine, none]"], show_progress=False)
    assert [path.name for path in results if not path.is_file()] == []
    callbacks = FitCLI.callbacks
    monkeypatch.setattr(FitCLI, "callbacks", lambda cli: [*callbacks(cli), StopIn(0)])
    with pytest.raises(CutOff):
        fit(longer, show_progress=False)
    assert [path.name for path in results if path.exists()] == []
    found = read_run(run)
    assert (found.metrics, found.predictions, found.levels, found.final) == ({}, None, (), None)
    assert tailmol.load(run).checkpoint == checkpoint(run)


def trained(folder: Path, *options: str) -> polars.DataFrame:
    """`metrics.csv` of a fingerprint model of the bundled drugs."""
    fit([*QUICK, f"--run.root={folder}", "--run.version=mine", *options], show_progress=False)
    return polars.read_csv(folder / "inn_stems/mine/metrics.csv")


@pytest.mark.parametrize("steps", ["-1", "50"])
def test_a_run_goes_on_as_if_it_had_not_been_interrupted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, steps: str
) -> None:
    # 14 batches an epoch, so the limit is in the fourth one.
    options = (f"--trainer.max_steps={steps}", "--trainer.max_epochs=4")
    whole = trained(tmp_path / "whole", *options)
    with monkeypatch.context() as patch:
        callbacks = FitCLI.callbacks
        patch.setattr(FitCLI, "callbacks", lambda cli: [*callbacks(cli), StopIn(2)])
        with pytest.raises(CutOff):
            trained(tmp_path / "parts", *options)
    last = tmp_path / "parts/inn_stems/mine/checkpoints/last.ckpt"
    fit([f"--ckpt_path={last}", "--tracking.wandb=disabled"], show_progress=False)
    found = polars.read_csv(last.parents[1] / "metrics.csv")
    assert found["step"].to_list() == whole["step"].to_list()
    assert found["epoch"].to_list() == whole["epoch"].to_list()
    for name in ("train/loss", "val/nll"):
        assert found[name].drop_nulls().to_list() == pytest.approx(whole[name].drop_nulls().to_list(), rel=1e-6)
