"""Training once more on all rows: what is trained on, the decision, going on after an interruption, and refusals."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning
import numpy
import polars
import pytest
import torch
from rich.console import Console

import tailmol
from base.errors import InputError
from modules.checkpoint_file import read_checkpoint
from modules.decisions.settings import DecisionSettings
from modules.evaluation.prediction_evidence import load_evidence
from modules.evaluation.split_scores import SplitScores, scores_path
from modules.make_evidence import estimate_of
from modules.training.lr_schedule import read_schedule
from tests.datamodules.array_file import save
from tests.lightning_app.command import in_this_process, succeed
from workflows.decide import decide
from workflows.fit import fit
from workflows.refit import RefitCLI
from workflows.run_summary import print_test_report

COUNTS = (40, 20, 10)
CLASSES = ("common", "other", "rare")
SHORT = ["--trainer.accelerator=cpu", "--trainer.max_epochs=3", "--early_stopping.patience=1", "--data.batch_size=16"]
SHORT += ["--tracking.wandb=disabled", "--config=encoder/array.yaml", "--config=method/balanced_softmax.yaml"]
SHORT += ["--decision.objective=accuracy"]


def table(folder: Path) -> Path:
    """Features around a center for each class that are hard to tell apart."""
    generator = numpy.random.default_rng(0)
    labels = numpy.repeat(numpy.arange(len(COUNTS)), COUNTS)
    features = (1.2 * numpy.eye(6)[labels] + generator.normal(size=(len(labels), 6))).astype(numpy.float32)
    return save(folder / "drugs.npz", features=features, labels=numpy.array(CLASSES)[labels])


def options(folder: Path, source: Path, *more: str) -> list[str]:
    return [*SHORT, "--data.source", str(source), f"--run.root={folder / 'runs'}", "--refit=true", *more]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("refit")
    return fit(options(folder, table(folder)), show_progress=False).folder


@pytest.fixture
def run(made: Path, tmp_path: Path) -> Path:
    """A copy of a finished run, in a folder of its own."""
    return Path(shutil.copytree(made, tmp_path / "runs" / made.parent.name / made.name))


def checkpoint(run: Path, name: str) -> Path:
    return run / "checkpoints" / f"{name}.ckpt"


def state(path: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = torch.load(path, weights_only=True)["state_dict"]
    return loaded


def same(first: dict[str, Any], second: dict[str, Any], names: Sequence[str]) -> bool:
    return all(torch.equal(first[name], second[name]) for name in names if not name.endswith("_extra_state"))


def test_all_rows_are_trained_on_with_the_same_settings_and_the_whole_schedule(made: Path) -> None:
    best, final = (read_checkpoint(checkpoint(made, name)) for name in ("best", "final"))
    assert final.task.class_counts == COUNTS
    assert sum(best.task.class_counts) < sum(COUNTS)
    splits = polars.read_csv(made / "refit" / "splits.csv")
    assert splits["row"].to_list() == list(range(1, sum(COUNTS) + 1))
    assert set(splits["split"]) == {"train"}
    changed = {"refit": False, "report": False}
    expected = {**best.settings, **changed, "data": {**best.settings["data"], "train_on_all": True}}
    kept = {name for name in expected if name not in ("run", "tracking")}
    assert {name: final.settings[name] for name in kept} == {name: expected[name] for name in kept}
    # Early stopping needs validation rows, so the refit takes the last epoch of the schedule.
    assert read_schedule(made / "refit" / "checkpoints" / "last.ckpt").epoch == 3
    assert not same(state(best.path), state(final.path), ["network.encoder.norm.running_mean"])
    assert not (made / "refit" / "test_metrics.json").exists()
    written = json.loads((made / "test_metrics.json").read_text())
    assert written["test/rows"] == polars.read_csv(made / "splits.csv").filter(split="test").height


def test_final_predicts_with_its_own_weights_and_the_decision_of_best(made: Path) -> None:
    best = state(checkpoint(made, "best"))
    assert bool(best["decision.class_offset"].any())
    model, trained = tailmol.load(made), tailmol.load(made / "refit" / "checkpoints" / "last.ckpt").classifier
    assert model.checkpoint == checkpoint(made, "final")
    samples = made.parent.parent.parent / "drugs.npz"
    with torch.no_grad():
        logits = trained.network.classifier(torch.from_numpy(model.embed(samples)))
    scores = logits + best["decision.logit_offset"] + best["decision.class_offset"]
    found = model.predict(samples)
    assert found["predicted_label"].to_list() == [CLASSES[code] for code in scores.argmax(dim=1).tolist()]
    columns = [f"p/{name}" for name in CLASSES]
    numpy.testing.assert_allclose(found.select(columns).to_numpy(), scores.softmax(dim=1).numpy(), atol=1e-5)
    temperature, offset = (best[f"decision.calibration.{name}"] for name in ("temperature", "offset"))
    calibrated = (scores / temperature + offset).softmax(dim=1).gather(1, scores.argmax(dim=1, keepdim=True))[:, 0]
    numpy.testing.assert_allclose(found["calibrated_probability"].to_numpy(), calibrated.numpy(), atol=1e-5)


def test_the_evidence_is_of_all_rows_with_the_estimate_of_best(made: Path) -> None:
    best, final = (load_evidence(checkpoint(made, name)) for name in ("best", "final"))
    assert best is not None
    assert final is not None
    assert len(final.samples.codes) == sum(COUNTS) > len(best.samples.codes)
    numpy.testing.assert_array_equal(final.applicability.weights, best.applicability.weights)
    numpy.testing.assert_array_equal(final.unseen.rows, best.unseen.rows)


@pytest.mark.parametrize("name", ["best", "final"])
def test_a_new_decision_is_chosen_once_for_both_checkpoints(run: Path, name: str) -> None:
    before = {name: state(checkpoint(run, name)) for name in ("best", "final")}
    given = run if name == "best" else checkpoint(run, "final")
    changed = tailmol.load(given)
    changed.decide("balanced_accuracy")
    decided = decide(given, DecisionSettings("balanced_accuracy"))
    assert decided.checkpoints == (checkpoint(run, "best"), checkpoint(run, "final"))
    best, final = (state(path) for path in decided.checkpoints)
    deciding = [one for one in final if one.startswith("decision.")]
    assert same(best, final, deciding)
    assert not same(final, before["final"], ["decision.class_offset"])
    assert same(final, before["final"], [one for one in final if not one.startswith("decision.")])
    assert read_checkpoint(decided.checkpoints[1]).decision["objective"] == "balanced_accuracy"
    # The same choice from Python, for a model in memory.
    torch.testing.assert_close(changed.classifier.decision.class_offset, final["decision.class_offset"])


def test_a_new_decision_comes_with_a_new_estimate(run: Path) -> None:
    decide(run, DecisionSettings("balanced_accuracy"))
    best = load_evidence(checkpoint(run, "best"))
    final = load_evidence(checkpoint(run, "final"))
    assert best is not None
    assert final is not None
    model = tailmol.load(checkpoint(run, "best")).classifier
    scores = SplitScores.load(scores_path(checkpoint(run, "best")), len(COUNTS))
    expected = estimate_of(model.decision, scores, best.unseen, best.samples.by_tanimoto)
    for found in (best, final):
        numpy.testing.assert_allclose(found.applicability.weights, expected.weights)
        numpy.testing.assert_allclose(found.applicability.outer, expected.outer)


class CutOff(RuntimeError):
    pass


def test_a_refit_that_was_cut_off_goes_on_and_the_first_training_stays(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(cli: RefitCLI) -> list[Any]:
        class Stop(lightning.Callback):
            def on_train_epoch_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
                if trainer.current_epoch == 2:
                    raise CutOff

        return [*plain(cli), Stop()]

    plain = RefitCLI.callbacks
    with monkeypatch.context() as patched:
        patched.setattr(RefitCLI, "callbacks", stop)
        with pytest.raises(CutOff):
            fit(options(tmp_path, made.parent.parent.parent / "drugs.npz"), show_progress=False)
    run = tmp_path / "runs" / made.parent.name / made.name
    assert not checkpoint(run, "final").exists()
    assert read_schedule(run / "refit" / "checkpoints" / "last.ckpt").epoch == 2
    untouched = {path: path.stat().st_mtime_ns for path in (*run.glob("*.*"), *run.glob("checkpoints/*"))}
    # The card names the checkpoint that predicts.
    card = run / "model_card.md"
    del untouched[run / "refit.yaml"], untouched[card]
    assert "final.ckpt" not in card.read_text()
    result = fit(["--ckpt_path", str(checkpoint(run, "last")), "--report=false"], show_progress=False)
    assert result.final_checkpoint == checkpoint(run, "final")
    assert result.metrics == json.loads((made / "test_metrics.json").read_text())
    assert {path: path.stat().st_mtime_ns for path in untouched} == untouched
    assert "final.ckpt" in card.read_text()
    whole, cut = state(checkpoint(made, "final")), state(checkpoint(run, "final"))
    assert same(whole, cut, list(whole))


def test_a_run_that_is_trained_further_is_refitted_anew_or_loses_its_refit(run: Path) -> None:
    last = ["--ckpt_path", str(checkpoint(run, "last")), "--early_stopping.patience=9", "--report=false"]
    longer = fit([*last, "--trainer.max_epochs=4"], show_progress=False)
    assert longer.folder == run
    assert read_schedule(run / "refit" / "checkpoints" / "last.ckpt").epoch == 4
    assert same(state(checkpoint(run, "best")), state(checkpoint(run, "final")), ["decision.class_offset"])
    fit([*last, "--trainer.max_epochs=5", "--refit=false"], show_progress=False)
    assert not checkpoint(run, "final").exists()
    assert tailmol.load(run).checkpoint == checkpoint(run, "best")


def test_predict_takes_the_refit_of_a_run(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    given = ["--data.source", str(table(tmp_path)), "--output", str(tmp_path / "out.csv")]
    assert in_this_process(monkeypatch, "predict", "--ckpt_path", str(run), *given) == 0
    assert f"{checkpoint(run, 'final')} predicts, which was trained on all rows" in capsys.readouterr().err
    written = polars.read_csv(tmp_path / "out.csv")["predicted_label"]
    assert (
        written.to_list()
        == tailmol.load(checkpoint(run, "final")).predict(tmp_path / "drugs.npz")["predicted_label"].to_list()
    )
    checkpoint(run, "final").unlink()
    assert in_this_process(monkeypatch, "predict", "--ckpt_path", str(run), *given) == 0
    assert "final" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["test", "--ckpt_path"], "ckpt_path: expected a checkpoint that was not trained on the test rows, got"),
        (["validate", "--ckpt_path"], "ckpt_path: expected a checkpoint that was not trained on the test rows, got"),
        (["report"], "RUN: expected a checkpoint that was tested, got"),
        (["fit", "--ckpt_path"], "ckpt_path: expected a checkpoint of a training to go on from, got"),
    ],
)
def test_rows_that_were_trained_on_test_nothing(
    run: Path,
    arguments: list[str],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(run)
    assert in_this_process(monkeypatch, *arguments, str(checkpoint(run, "final"))) == 2
    assert message in capsys.readouterr().err
    assert not (run / "runs").exists()


def test_testing_on_the_own_table_as_another_one_warns(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(run)
    given = ["--ckpt_path", str(checkpoint(run, "final")), "--tracking.wandb=disabled", "--data.split=all"]
    assert in_this_process(monkeypatch, "test", *given) == 0
    assert "The model was trained on the rows of this very table" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["--refit=true", "--folds=3"], r"refit: expected false with folds, which train on all rows together"),
        (["--refit=true", "--data.folds=3", "--data.fold=0"], r"refit: expected false with data\.folds, got true"),
        (["--refit=true", "--trainer.max_epochs=-1"], r"refit: expected false with trainer\.max_epochs -1, since no"),
        (["--data.train_on_all=true"], r"data\.train_on_all: expected false, got true; use --refit true"),
    ],
)
def test_refits_that_make_no_sense_are_refused(given: list[str], message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        fit([*SHORT, *given, f"--run.root={tmp_path / 'runs'}"], show_progress=False)
    assert not (tmp_path / "runs").exists()


def test_report_and_last_screen_name_the_measured_and_the_predicting_checkpoint(made: Path) -> None:
    page = (made / "report.html").read_text()
    assert f"{checkpoint(made, 'best')}, which all numbers and figures of this report are of" in page
    assert f"{checkpoint(made, 'final')}, which was trained on all rows with the same settings" in page
    console = Console(record=True, width=300)
    metrics = json.loads((made / "test_metrics.json").read_text())
    print_test_report(metrics, made, console=console)
    shown = console.export_text()
    assert "The metrics are those of best.ckpt. final.ckpt was trained on all rows; none is left to test it." in shown
    assert f"lightning predict --ckpt_path {checkpoint(made, 'final')} " in shown
    assert "Head, middle and tail: mean recall of the most frequent, the other and the rarest classes." in shown


@pytest.mark.slow
def test_two_processes_refit_together(made: Path, tmp_path: Path) -> None:
    source = made.parent.parent.parent / "drugs.npz"
    given = [*options(tmp_path, source, "--report=false"), "--trainer.devices=2", "--trainer.strategy=ddp"]
    succeed(tmp_path, "fit", *given)
    run = tmp_path / "runs" / made.parent.name / made.name
    final = read_checkpoint(checkpoint(run, "final"))
    assert final.task.class_counts == COUNTS
    assert load_evidence(final.path) is not None
    weights = final.state_dict()
    # A refit without its last step goes on in both processes, without the first training.
    tested = checkpoint(run, "best").stat().st_mtime_ns
    checkpoint(run, "final").unlink()
    succeed(tmp_path, "fit", "--ckpt_path", str(checkpoint(run, "last")))
    assert same(state(checkpoint(run, "final")), weights, list(weights))
    assert checkpoint(run, "best").stat().st_mtime_ns == tested
