"""Objectives that are chosen in training, after it, for one prediction and from Python lead to the same predictions."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy
import polars
import pytest
import torch
from numpy.typing import NDArray

import tailmol
from base.errors import InputError
from modules.decisions.settings import DecisionSettings
from modules.evaluation.split_scores import SplitScores
from reports.compared_runs import compare_runs
from reports.decided_texts import report_warnings
from reports.run_comparison import comparison_warnings
from reports.run_files import read_run
from tests.datamodules.array_file import save
from tests.lightning_app.command import in_this_process, succeed
from workflows.decide import decide
from workflows.export import export_run
from workflows.fit import fit

CLASSES = ("common", "other", "rare")
COSTS = "true,common,other,rare\ncommon,0,1,1\nother,2,0,1\nrare,9,9,0\n"
KEPT = DecisionSettings("head_kept", points=2.0)


def samples(seed: int, counts: tuple[int, ...] = (240, 80, 20)) -> tuple[NDArray[Any], NDArray[Any]]:
    """Features around a center for each class that are hard to tell apart, and labels."""
    generator = numpy.random.default_rng(seed)
    labels = numpy.repeat(numpy.arange(len(counts)), counts)
    return (1.2 * numpy.eye(6)[labels] + generator.normal(size=(len(labels), 6))).astype(numpy.float32), labels


def train(folder: Path, *options: str) -> Path:
    features, labels = samples(0)
    save(folder / "drugs.npz", features=features, labels=numpy.array(CLASSES)[labels])
    given = ["--data.source", str(folder / "drugs.npz"), f"--run.root={folder / 'runs'}", "--trainer.max_epochs=3"]
    given += ["--trainer.accelerator=cpu", "--tracking.wandb=disabled", "--report=false", *options]
    return fit(
        [*given, "--config=encoder/array.yaml", "--config=method/balanced_softmax.yaml"], show_progress=False
    ).folder


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run without an objective."""
    return train(tmp_path_factory.mktemp("plain"))


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that was trained with an objective from the start."""
    return train(tmp_path_factory.mktemp("kept"), "--decision.objective=head_kept", "--decision.points=2")


@pytest.fixture
def run(plain: Path, tmp_path: Path) -> Path:
    """A copy of the run without an objective."""
    return Path(shutil.copytree(plain, tmp_path / "run"))


def predictions(run: Path, new: Path) -> polars.DataFrame:
    found = tailmol.load(run).predict(new)
    assert isinstance(found, polars.DataFrame)
    return found


@pytest.fixture
def new(tmp_path: Path) -> Path:
    """New samples."""
    return save(tmp_path / "new.npz", features=samples(1)[0])


def content(run: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = torch.load(run / "checkpoints" / "best.ckpt", weights_only=True)
    return loaded


def test_an_objective_after_training_predicts_as_one_from_the_start(run: Path, kept: Path, new: Path) -> None:
    before = predictions(run, new)
    decide(run, KEPT)
    assert predictions(run, new).equals(predictions(kept, new))
    assert not predictions(run, new)["predicted_label"].equals(before["predicted_label"])
    found, expected = content(run)["state_dict"], content(kept)["state_dict"]
    assert set(found) == set(expected)
    for name in found:
        if isinstance(expected[name], torch.Tensor):
            assert torch.equal(found[name], expected[name]), name
    assert content(run)["decision"] == content(kept)["decision"] == asdict(KEPT)


def test_as_trained_takes_an_objective_back_and_nothing_else_in_the_checkpoint_changes(
    plain: Path, run: Path, new: Path
) -> None:
    decide(run, KEPT)
    old, changed = content(plain), content(run)
    assert set(old) == set(changed)
    for name, value in old["state_dict"].items():
        if not name.startswith("decision.") and isinstance(value, torch.Tensor):
            assert torch.equal(changed["state_dict"][name], value)
    for name in set(old) - {"state_dict", "decision", "optimizer_states", "callbacks"}:
        assert old[name] == changed[name], name
    assert str(old["optimizer_states"]) == str(changed["optimizer_states"])
    decide(run, DecisionSettings())
    assert predictions(run, new).equals(predictions(plain, new))


@pytest.mark.parametrize(
    "options",
    [
        ("accuracy",),
        ("head_kept", "--points=2"),
        ("recall", '--classes=["rare"]', "--least=0.7"),
        ("cost_matrix", "--costs"),
    ],
)
def test_another_objective_for_one_prediction_is_that_of_the_command_and_leaves_the_checkpoint(
    options: tuple[str, ...], run: Path, new: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    costs = new.with_name("costs.csv")
    costs.write_text(COSTS)
    name, *others = [word.replace("--costs", f"--costs={costs}") for word in options]
    checkpoint, before = run / "checkpoints" / "best.ckpt", (run / "checkpoints" / "best.ckpt").read_bytes()
    output = new.with_name("out.csv")
    given = ("predict", f"--ckpt_path={checkpoint}", f"--data.source={new}", f"--output={output}", "--quiet")
    assert in_this_process(monkeypatch, *given, "--trainer.accelerator=cpu", f"--decision={name}", *others) == 0
    assert checkpoint.read_bytes() == before
    words = ["--classes=rare" if word.startswith("--classes") else word for word in others]
    assert in_this_process(monkeypatch, "decide", str(run), f"--objective={name}", *words, "--quiet") == 0
    expected, found = predictions(run, new), polars.read_csv(output)
    assert found["predicted_label"].to_list() == expected["predicted_label"].to_list()
    assert expected["predicted_label"].n_unique() > 1
    assert found["applicability"].to_list() == pytest.approx(expected["applicability"].to_list(), abs=1e-6)


def test_the_door_takes_an_objective_in_memory(run: Path, kept: Path, new: Path) -> None:
    model = tailmol.load(run)
    model.decide("head_kept", points=2.0)
    assert model.predict(new).equals(predictions(kept, new))
    with pytest.raises(InputError, match="classes: expected labels of the model's classes"):
        model.decide("recall", classes=["nothing"])
    with pytest.raises(InputError, match="objective: expected a model that was loaded from a checkpoint"):
        tailmol.model.Model(model.classifier).decide("accuracy")


def test_the_command_says_the_metrics_before_and_after(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert in_this_process(monkeypatch, "decide", str(run), "--objective=accuracy", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    scores = SplitScores.load(run / "checkpoints" / "best.scores.npz", 3)
    assert told["samples"] == len(scores.labels)
    assert told["after"]["accuracy"] > told["before"]["accuracy"]
    assert told["after"]["balanced_accuracy"] < told["before"]["balanced_accuracy"]
    assert set(told["crossed"]) == set(told["after"])
    decision = tailmol.load(run).classifier.decision
    predicted = decision.labels(decision.probabilities(scores.logits))
    assert told["after"]["accuracy"] == pytest.approx(float((predicted == scores.labels).double().mean()), abs=1e-6)
    assert in_this_process(monkeypatch, "decide", str(run), "--objective=as_trained") == 0
    shown = capsys.readouterr().out
    assert "Balanced accuracy" in shown
    assert "best.ckpt" in shown


def test_pages_say_which_numbers_are_of_the_decision_that_was_tested(plain: Path, run: Path) -> None:
    tested = read_run(run)
    card = (run / "model_card.md").read_text()
    assert tested.tested_objective is None
    assert tested.levels
    decide(run, KEPT)
    decided = read_run(run)
    assert (decided.objective, decided.tested_objective) == ("head_kept", "as_trained")
    # The accuracy on each level of applicability is that of other labels.
    assert decided.levels == ()
    assert decided.metrics == tested.metrics
    said = "The decision was changed by lightning decide after the test, from as_trained to head_kept"
    assert f"{said}. This page tests the decision that the checkpoint has now" in report_warnings(decided)[0]
    assert f"{said}; the metrics are those of the test." in (run / "model_card.md").read_text()
    exported = export_run(run)
    assert said in (exported.folder / "model_card.md").read_text()
    (warning,) = comparison_warnings(compare_runs([read_run(plain), decided]))
    assert warning.endswith(f": {said}. All numbers here are those of the test.")
    decide(run, DecisionSettings())
    assert read_run(run).levels == tested.levels
    assert report_warnings(read_run(run)) == []
    assert (run / "model_card.md").read_text() == card.replace("drugs/version_0", decided.name)


def test_other_options_of_the_same_objective_are_another_decision(kept: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(kept, tmp_path / "run"))
    assert read_run(run).tested_objective is None
    decide(run, DecisionSettings("head_kept", points=50.0))
    assert read_run(run).tested_objective == "head_kept"
    assert "after the test, from head_kept to other options of it." in report_warnings(read_run(run))[0]


def test_the_scores_are_those_of_the_validation_samples(plain: Path) -> None:
    scores = SplitScores.load(plain / "checkpoints" / "best.scores.npz", 3)
    splits = polars.read_csv(plain / "splits.csv")
    rows = splits.filter(polars.col("split") == "validation")["row"].sort().to_list()
    assert [row + 1 for row in scores.rows.tolist()] == rows
    features, labels = samples(0)
    assert torch.equal(scores.labels, torch.from_numpy(labels)[scores.rows])
    model = tailmol.load(plain)
    probabilities = model.classifier.decision.probabilities(scores.logits)
    new = save(plain / "validation.npz", features=features[scores.rows.numpy()])
    expected = model.predict(new).select([f"p/{name}" for name in CLASSES]).to_numpy()
    numpy.testing.assert_allclose(probabilities.numpy(), expected, atol=1e-5)


def test_what_cannot_be_decided_is_refused_and_the_checkpoint_stays(run: Path) -> None:
    before = (run / "checkpoints" / "best.ckpt").read_bytes()
    with pytest.raises(InputError, match="classes: expected labels of the model's classes"):
        decide(run, DecisionSettings("recall", classes=["nothing"]))
    scores = run / "checkpoints" / "best.scores.npz"
    SplitScores.load(scores, 3).save(scores, "of other weights")
    with pytest.raises(InputError, match=r"^scores: expected those of the weights in the checkpoint, got others in "):
        decide(run, KEPT)
    scores.write_bytes(b"no scores")
    with pytest.raises(InputError, match=r"^scores: .*best\.scores\.npz is not a valid file of scores"):
        decide(run, KEPT)
    scores.unlink()
    with pytest.raises(InputError, match=r"^scores: expected the file .*best\.scores\.npz, which lightning fit writes"):
        decide(run, KEPT)
    assert (run / "checkpoints" / "best.ckpt").read_bytes() == before


def test_settings_that_do_not_fit_the_classes_are_refused_before_training(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"^decision\.classes: expected labels of the model's classes .* got 'nothing'"
    ):
        train(tmp_path, "--decision.objective=recall", '--decision.classes=["nothing"]')
    with pytest.raises(InputError, match="points: expected a number from 0 to 100, got 200"):
        train(tmp_path, "--decision.points=200")
    assert not (tmp_path / "runs").exists()


@pytest.mark.slow
def test_two_processes_choose_on_the_scores_of_both(tmp_path: Path) -> None:
    features, labels = samples(0)
    save(tmp_path / "drugs.npz", features=features, labels=numpy.array(CLASSES)[labels])
    options = ["--data.source=drugs.npz", "--trainer.max_epochs=2", "--tracking.wandb=disabled", "--report=false"]
    options += ["--trainer.accelerator=cpu", "--trainer.devices=2", "--trainer.strategy=ddp", "--quiet"]
    options += ["--config=encoder/array.yaml", "--config=method/balanced_softmax.yaml", "--decision.objective=accuracy"]
    succeed(tmp_path, "fit", *options)
    run = tmp_path / "runs" / "drugs" / "version_0"
    scores = SplitScores.load(run / "checkpoints" / "best.scores.npz", 3)
    splits = polars.read_csv(run / "splits.csv")
    assert scores.rows.tolist() == sorted(splits.filter(polars.col("split") == "validation")["row"] - 1)
    before = content(run)["state_dict"]
    decide(run, DecisionSettings("accuracy"))
    for name in ("class_offset", "head_kept_offset", "calibration.temperature"):
        torch.testing.assert_close(content(run)["state_dict"][f"decision.{name}"], before[f"decision.{name}"])


@pytest.mark.slow
def test_the_objective_of_several_folds_is_chosen_on_the_scores_of_all(tmp_path: Path) -> None:
    run = train(tmp_path, "--folds=2", "--decision.objective=head_kept", "--decision.points=2")
    assert len(SplitScores.load(run / "checkpoints" / "best.scores.npz", 3).labels) == len(samples(0)[1])
    told = json.loads((run / "test_metrics.json").read_text())
    assert told["test/head_accuracy_head_kept"] > told["test/head_accuracy_at_prior"] - 0.05
    before = content(run)
    decide(run, DecisionSettings("accuracy"))
    assert not torch.equal(
        content(run)["state_dict"]["decision.class_offset"], before["state_dict"]["decision.class_offset"]
    )
    decide(run, KEPT)
    after = content(run)
    assert after["decision"] == before["decision"] == asdict(KEPT)
    for name in ("class_offset", "head_kept_offset", "calibration.temperature"):
        assert torch.equal(after["state_dict"][f"decision.{name}"], before["state_dict"][f"decision.{name}"])
