"""What a resumed run removes."""

from __future__ import annotations

import shutil
from pathlib import Path

import lightning
import pytest

import tailmol
from base.errors import InputError
from reports.run_files import read_run
from tests.workflows.multilabel_tables import checkpoint
from workflows.fit import fit
from workflows.fit_cli import FitCLI

FILES = ("test_metrics.json", "test_predictions.csv", "accuracy_by_applicability.json", "model_card.md")


class CutOff(RuntimeError):
    pass


class Stop(lightning.Callback):
    def on_train_epoch_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
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
    monkeypatch.setattr(FitCLI, "callbacks", lambda cli: [*callbacks(cli), Stop()])
    with pytest.raises(CutOff):
        fit(longer, show_progress=False)
    assert [path.name for path in results if path.exists()] == []
    found = read_run(run)
    assert (found.metrics, found.predictions, found.levels, found.final) == ({}, None, (), None)
    assert tailmol.load(run).checkpoint == checkpoint(run)
