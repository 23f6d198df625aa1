"""Every method's file: an epoch on the bundled drugs with the graph encoder, and another one after it was resumed."""

from __future__ import annotations

import json
from pathlib import Path

import polars
import pytest

from tests.lightning_app.command import TINY, in_this_process
from tests.modules.watched_steps import WatchSteps
from workflows.fit_cli import FitCLI
from workflows.settings.config_files import CONFIGS

METHODS = sorted((CONFIGS / "method").glob("*.yaml"))
GRAPH = (
    "--config=encoder/gin.yaml",
    "--model.encoder.init_args.hidden_dim=16",
    "--model.encoder.init_args.num_layers=2",
)


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> WatchSteps:
    """Watches the steps of all trainings that are started here."""
    steps, callbacks = WatchSteps(), FitCLI.callbacks
    monkeypatch.setattr(FitCLI, "callbacks", lambda self: [*callbacks(self), steps])
    return steps


@pytest.mark.parametrize("path", METHODS, ids=lambda path: str(path.stem))
def test_every_method_trains_an_epoch_resumes_and_waits_for_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, watch: WatchSteps, path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    # Stages and reclusters begin with the second epoch; the paper's classification begins with the first.
    options = [*TINY, "--tracking.wandb=disabled", "--config", str(path), *(() if path.stem == "paper" else GRAPH)]
    options += ["--trainer.max_epochs=1", "--model.classification_start_epoch=0"]
    text = path.read_text()
    options += ["--recluster.start_epoch=1"] if "start_epoch: null" not in text else []
    assert in_this_process(monkeypatch, "fit", *options) == 0
    run = next(tmp_path.glob("runs/*/version_0"))
    last = str(run / "checkpoints/last.ckpt")
    assert in_this_process(monkeypatch, "fit", "--ckpt_path", last, "--trainer.max_epochs=2") == 0
    metrics = polars.read_csv(run / "metrics.csv")
    losses = metrics.filter(polars.col("train/loss").is_not_null())
    assert losses["epoch"].to_list() == [0, 1]
    assert losses["train/loss"].is_finite().all()
    assert (run / "test_metrics.json").is_file()
    assert watch.steps > 2
    assert watch.unexpected() == {}


@pytest.mark.slow
def test_a_checkpoint_teaches_and_an_evidential_student_says_how_unsure_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    short = [*TINY, "--tracking.wandb=disabled", "--trainer.max_epochs=1", "--config=encoder/fingerprint.yaml"]
    assert in_this_process(monkeypatch, "fit", *short, "--config=method/balanced_softmax.yaml", "--run.name=a") == 0
    teacher, student = "runs/a/version_0/checkpoints/best.ckpt", "runs/b/version_0/checkpoints"
    options = ["--config=method/virtual_examples.yaml", "--config=method/evidential.yaml", "--run.name=b"]
    distillation = {"class_path": "modules.training.distillation.Distillation", "init_args": {"teacher": teacher}}
    options += ["--stages", json.dumps([{"distillation": distillation}])]
    assert in_this_process(monkeypatch, "fit", *short, *options) == 0
    again = ["--ckpt_path", f"{student}/last.ckpt", "--trainer.max_epochs=2"]
    assert in_this_process(monkeypatch, "fit", *again) == 0
    Path("new.csv").write_text("smiles\nCCO\nc1ccccc1\n")
    predict = ["--ckpt_path", f"{student}/best.ckpt", "--data.source=new.csv", "--output=out.csv"]
    assert in_this_process(monkeypatch, "predict", *predict, "--trainer.enable_progress_bar=false") == 0
    uncertainty = polars.read_csv("out.csv")["uncertainty"]
    assert uncertainty.is_between(0, 1).all()


def test_every_method_has_a_line_in_the_documentation() -> None:
    page = (CONFIGS.parent / "docs/methods.md").read_text()
    assert [path.stem for path in METHODS if page.count(f"| `{path.stem}` |") != 1] == []
