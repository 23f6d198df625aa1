"""What several labels are predicted for can be chosen in training, after it, for one prediction and from Python."""

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
from polars.testing import assert_frame_equal
from sklearn.metrics import balanced_accuracy_score, f1_score, precision_score, recall_score

import tailmol
from base.errors import InputError
from modules.decision_choice import crossed_labels
from modules.decisions.objectives import BalancedAccuracy
from modules.decisions.settings import DecisionSettings
from modules.evaluation.split_scores import SplitScores, scores_path
from reports.run_files import read_run
from tests.lightning_app.command import in_this_process
from tests.workflows.multilabel_tables import COLUMNS, NAMES, checkpoint, options, with_columns
from workflows.decide import decide
from workflows.fit import fit

NEW = ["CCCCCCN", "C1CC1CCOCC", "CCCCCC", "C1CC1CCCN", "CCCOCCN", "C1CC1CCCCCCOCCN"]


@pytest.fixture
def run(multilabel_run: Path, tmp_path: Path) -> Path:
    """A copy of a run with a refit, whose labels are predicted for the best macro F1."""
    return Path(shutil.copytree(multilabel_run, tmp_path / "run"))


def content(path: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = torch.load(path, weights_only=True)
    return loaded


def test_an_objective_after_training_predicts_as_one_from_the_start(run: Path, tmp_path: Path) -> None:
    folder = with_columns(tmp_path).parent
    start = fit(options(folder, COLUMNS, "--decision.objective=accuracy"), show_progress=False).folder
    best, before = checkpoint(run), content(checkpoint(run))
    assert before["decision"]["objective"] == "macro_f1"
    tested = (run / "test_metrics.json").read_bytes()
    decide(run, DecisionSettings("accuracy"))
    after, expected = content(best), content(checkpoint(start))
    assert after["decision"] == expected["decision"] == asdict(DecisionSettings("accuracy"))
    assert read_run(run).objective == read_run(start).objective == "accuracy"
    assert (run / "test_metrics.json").read_bytes() == tested
    assert set(after["state_dict"]) == set(expected["state_dict"]) == set(before["state_dict"])
    for name, value in after["state_dict"].items():
        if isinstance(value, torch.Tensor):
            assert torch.equal(value.nan_to_num(), expected["state_dict"][name].nan_to_num()), name
            if name != "decision.class_offset":
                assert torch.equal(value.nan_to_num(), before["state_dict"][name].nan_to_num()), name
    offset = "decision.class_offset"
    assert not torch.equal(after["state_dict"][offset], before["state_dict"][offset])
    assert torch.equal(after["state_dict"][offset], content(checkpoint(run, "final"))["state_dict"][offset])
    # So do how often labels are right, and all else that is predicted.
    found, wanted = (tailmol.load(checkpoint(one)).predict(NEW) for one in (run, start))
    assert_frame_equal(found, wanted)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("as_trained", {}),
        ("balanced_accuracy", {}),
        ("recall", {"classes": ["ring", "amine"], "least": 0.8}),
    ],
)
def test_another_objective_for_one_prediction_is_that_of_the_command_and_leaves_the_checkpoint(
    name: str, options: dict[str, Any], run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    polars.DataFrame({"smiles": NEW}).write_csv("new.csv")
    model, untouched = tailmol.load(run), checkpoint(run, "final").read_bytes()
    model.decide(name, **options)  # type: ignore[arg-type]
    given = ["predict", f"--ckpt_path={checkpoint(run, 'final')}", "--data.source=new.csv", "--output=out.csv"]
    more = [f"--{option}={value}" for option, value in options.items()]
    assert in_this_process(monkeypatch, *given, "--trainer.accelerator=cpu", f"--decision={name}", *more) == 0
    assert checkpoint(run, "final").read_bytes() == untouched
    words = [f"--least={options['least']}", "--classes", *options["classes"]] if options else []
    assert in_this_process(monkeypatch, "decide", str(run), f"--objective={name}", *words, "--quiet") == 0
    decided = tailmol.load(run)
    assert decided.checkpoint == checkpoint(run, "final")
    # The thresholds of a refit are chosen with the prior of the samples that trained the best checkpoint.
    assert torch.equal(decided.classifier.decision.class_offset, model.classifier.decision.class_offset)
    expected = decided.predict(NEW)
    assert_frame_equal(model.predict(NEW), expected)
    # The applicability is that of the decision, too.
    assert_frame_equal(polars.read_csv("out.csv"), expected, check_dtypes=False, abs_tol=1e-6)
    best = tailmol.load(checkpoint(run)).classifier.decision
    scores = SplitScores.load(scores_path(checkpoint(run)), 3)
    predicted = best.labels(best.probabilities(scores.logits))
    if name == "as_trained":
        assert torch.equal(predicted, (scores.logits > 0).long())
    if name == "recall":
        for place in (NAMES.index(one) for one in options["classes"]):
            assert float(predicted[scores.labels[:, place] == 1, place].double().mean()) >= options["least"]


def test_the_command_says_the_metrics_before_and_after(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert in_this_process(monkeypatch, "decide", str(run), "--objective=balanced_accuracy", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    scores = SplitScores.load(scores_path(checkpoint(run)), 3)
    assert told["samples"] == len(scores.labels)
    decision = tailmol.load(checkpoint(run)).classifier.decision
    labels, predicted = scores.labels.numpy(), decision.labels(decision.probabilities(scores.logits)).numpy()
    columns = [(labels[:, place], predicted[:, place]) for place in range(3)]
    known = [(truth[truth >= 0], chosen[truth >= 0]) for truth, chosen in columns]
    flat = (labels[labels >= 0], predicted[labels >= 0])
    assert told["after"] == pytest.approx(
        {
            "macro_f1": numpy.mean([f1_score(*one) for one in known]),
            "micro_f1": f1_score(*flat),
            "balanced_accuracy": numpy.mean([balanced_accuracy_score(*one) for one in known]),
            "accuracy": (flat[0] == flat[1]).mean(),
            "recall": numpy.mean([recall_score(*one) for one in known]),
            "precision": numpy.mean([precision_score(*one) for one in known]),
        },
        rel=1e-5,
    )
    assert told["after"]["balanced_accuracy"] >= told["before"]["balanced_accuracy"]
    assert set(told["crossed"]) == set(told["before"]) == set(told["after"])
    assert told["crossed"] != told["after"]
    assert in_this_process(monkeypatch, "decide", str(run), "--objective=macro_f1") == 0
    shown = capsys.readouterr().out
    assert all(title in shown for title in ("Balanced accuracy", "Micro F1", "Precision", "best.ckpt", "final.ckpt"))


def test_crossed_labels_are_those_of_thresholds_that_their_samples_did_not_choose(multilabel_run: Path) -> None:
    model = tailmol.load(checkpoint(multilabel_run)).classifier
    scores = SplitScores.load(scores_path(checkpoint(multilabel_run)), 3)
    found = crossed_labels(model, scores, DecisionSettings("balanced_accuracy"))
    counts = model.decision.counts.tolist()
    # Each fifth of the samples in order of their rarest label is a fold.
    rarest_first = sorted(range(3), key=lambda place: counts[place])
    ranks = [[row[place] for place in rarest_first].index(1) if 1 in row else 3 for row in scores.labels.tolist()]
    order = sorted(range(len(ranks)), key=lambda row: ranks[row])
    for fold in range(5):
        inside = torch.zeros(len(ranks), dtype=torch.bool)
        inside[order[fold::5]] = True
        decision = model.new_decision()
        decision.choose(scores.part(~inside), BalancedAccuracy(), [])
        assert torch.equal(found[inside], decision.labels(decision.probabilities(scores.logits[inside])))


@pytest.mark.parametrize("name", ["head_kept", "cost_matrix"])
def test_objectives_for_single_labels_are_refused(
    name: str, run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = checkpoint(run).read_bytes()
    assert in_this_process(monkeypatch, "decide", str(run), f"--objective={name}") == 2
    expected = "as_trained, balanced_accuracy, accuracy, macro_f1 or recall with several labels a sample"
    assert capsys.readouterr().err == f"lightning: error: objective: expected {expected}, got {name}.\n"
    assert checkpoint(run).read_bytes() == before
    with pytest.raises(InputError, match=rf"^objective: expected {expected}, got {name}\.$"):
        tailmol.load(run).decide(name)  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"^classes: expected labels of the model's classes .* got 'rings'\.$"):
        decide(run, DecisionSettings("recall", classes=["rings"]))
