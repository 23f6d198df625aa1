"""The curve of decisions against predictions one decision at a time."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from modules.decision_choice import choose_decision, crossed_labels
from modules.decisions.settings import DecisionSettings
from modules.drug_classifier import DrugClassifier
from modules.evaluation.split_scores import SplitScores, scores_path
from modules.losses import CrossEntropyLoss
from reports.analysis.decision_curve import OBJECTIVES, DecisionPoint, decision_curve
from tests.modules.small_model import make_model

# Classes of 20, 6 and 0 training samples: one is the head, none of the tail can be predicted.
HEAD = 0


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> DrugClassifier:
    return make_model(classification_loss=CrossEntropyLoss(1.0))


def drawn(seed: int, samples: int = 300) -> SplitScores:
    generator = torch.Generator().manual_seed(seed)
    labels = (torch.rand(samples, generator=generator) < 6 / 26).long()
    logits = torch.randn(samples, 3, generator=generator)
    logits[torch.arange(samples), labels] += 1.0
    at_prior = torch.rand(samples, generator=generator).lt(0.1).long()
    return SplitScores(1_000 * seed + torch.arange(samples), labels, logits, at_prior)


def accuracies(predicted: torch.Tensor, labels: torch.Tensor) -> tuple[float, float]:
    """Recall of the head class, and balanced accuracy."""
    recall = [float((predicted[labels == code] == code).double().mean()) for code in (0, 1)]
    return recall[HEAD], sum(recall) / 2


def check(point: DecisionPoint, predicted: torch.Tensor, labels: torch.Tensor) -> None:
    assert (point.head, point.balanced) == pytest.approx(accuracies(predicted, labels))
    assert math.isnan(point.tail)


def test_points_are_those_of_the_decisions_chosen_on_other_samples(model: DrugClassifier, tmp_path: Path) -> None:
    checkpoint, chosen_on, test = tmp_path / "best.ckpt", drawn(0), drawn(1)
    torch.save({"state_dict": model.state_dict()}, checkpoint)
    chosen_on.save(scores_path(checkpoint))
    choose_decision(model, chosen_on, DecisionSettings("accuracy"))
    predicted = model.decision.labels(model.decision.probabilities(test.logits))
    curve = decision_curve(model, test, predicted, checkpoint, "accuracy")
    assert curve is not None
    assert [point.name for point in curve.points] == ["current", "at_prior", *OBJECTIVES]
    decision, points = model.decision, {point.name: point for point in curve.points}
    check(points["current"], predicted, test.labels)
    check(points["at_prior"], test.at_prior, test.labels)
    assert curve.objective == "accuracy"
    for name in OBJECTIVES:
        choose_decision(model, chosen_on, DecisionSettings(name))
        check(points[name], decision.labels(decision.probabilities(test.logits)), test.labels)


def test_samples_of_all_folds_are_tested_by_decisions_that_they_have_not_chosen(
    model: DrugClassifier, tmp_path: Path
) -> None:
    checkpoint, scores = tmp_path / "best.ckpt", drawn(0)
    torch.save({"state_dict": model.state_dict()}, checkpoint)
    scores.save(scores_path(checkpoint))
    chosen = torch.arange(5, 250, 2)
    # The decisions of the other folds predict something else than that of the ensemble; rows may be in any order.
    tested, order = drawn(2).labels[chosen], torch.randperm(len(chosen), generator=torch.Generator().manual_seed(0))
    curve = decision_curve(model, scores.part(chosen[order]), tested[order], checkpoint)
    assert curve is not None
    check(curve.points[0], tested, scores.labels[chosen])
    for name, point in zip(OBJECTIVES, curve.points[2:], strict=True):
        check(point, crossed_labels(model, scores, DecisionSettings(name))[chosen], scores.labels[chosen])


def test_the_line_goes_from_below_no_prior_to_above_the_training_prior(
    model: DrugClassifier, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    test, checkpoint = drawn(1), tmp_path / "best.ckpt"
    torch.save({"state_dict": model.state_dict()}, checkpoint)
    curve = decision_curve(model, test, test.at_prior, checkpoint)
    assert curve is not None
    assert "The report shows no other objectives. scores: expected the file" in caplog.text
    assert [point.name for point in curve.points] == ["current", "at_prior"]
    strengths = [float(point.name) for point in curve.strengths]
    assert strengths == sorted(strengths)
    assert (strengths[0], strengths[-1]) == (-0.5, 1.5)
    priors = torch.tensor([20 / 26, 6 / 26, 1.0]).log()
    for strength, point in zip(strengths, curve.strengths, strict=True):
        check(point, (test.logits + strength * priors)[:, :2].argmax(dim=1), test.labels)
    assert [point.head for point in curve.strengths] == sorted(point.head for point in curve.strengths)


def test_without_samples_there_is_no_curve(model: DrugClassifier, tmp_path: Path) -> None:
    none = torch.zeros(0, dtype=torch.int64)
    test = SplitScores(none, none, torch.zeros(0, 3), none)
    assert decision_curve(model, test, none, tmp_path / "best.ckpt") is None
