"""The decision that peers get on the validation samples."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from benchmarks.peer_decision import accuracies, decision_samples, log_probabilities, ranking
from modules.decision import Decision
from modules.decisions.objectives import AsTrained, BalancedAccuracy, HeadKept
from modules.decisions.samples import DecisionSamples
from modules.evaluation.split_scores import SplitScores
from modules.losses import CrossEntropyLoss
from tests.modules.decisions.drawn_scores import COUNTS as FIVE_COUNTS
from tests.modules.decisions.drawn_scores import HEAD, made_scores, with_prior

COUNTS = torch.tensor([90, 10])


def two_classes(*second: float) -> Tensor:
    """Probabilities of two classes, from those of the second."""
    column = torch.tensor(second)
    return torch.stack([1 - column, column], dim=1)


# Without the prior, a sample is predicted as the second class if its odds are above 1 / 9.
PROBABILITIES = two_classes(0.3, 0.08, 0.2, 0.2, *[0.05] * 8)
LABELS = torch.tensor([1, 1] + [0] * 10)


def samples_of(probabilities: Tensor, labels: Tensor, prior_removed: float = 0) -> DecisionSamples:
    """The samples of a classifier, whose largest probability is the reference of the head."""
    return decision_samples(probabilities, labels, COUNTS, prior_removed, probabilities.argmax(dim=1))


def test_scores_are_log_probabilities_that_contain_the_prior() -> None:
    samples = samples_of(two_classes(0.4), torch.tensor([0]))
    assert samples.scores.tolist() == [pytest.approx([math.log(0.6), math.log(0.4)])]
    # Without the prior the odds of the second class are 0.4 / 0.1 to 0.6 / 0.9, at the prior 0.4 to 0.6.
    for strength, odds in ((0.0, math.log(6)), (1.0, math.log(2 / 3))):
        first, second = (samples.scores + samples.offset(strength))[0].tolist()
        assert second - first == pytest.approx(odds)


def test_few_samples_do_not_move_the_decision_from_theory() -> None:
    # Theory finds one of the two of the second class. The best strength finds both, which is no evidence yet.
    samples = samples_of(PROBABILITIES, LABELS)
    offset = BalancedAccuracy().choose(samples).offset
    assert torch.equal(offset, samples.offset(0.0))
    assert samples.predicted(offset).tolist() == [1, 0, 1, 1] + [0] * 8
    many = samples_of(PROBABILITIES.repeat(50, 1), LABELS.repeat(50))
    assert many.predicted(BalancedAccuracy().choose(many).offset)[:12].tolist() == [1, 1, 1, 1] + [0] * 8


@pytest.mark.parametrize("prior_removed", [0.0, 1.0])
@pytest.mark.parametrize("size", [40, 2_000])
def test_the_decision_is_that_of_a_model_with_the_same_scores(prior_removed: float, size: int) -> None:
    drawn = made_scores(size, seed=3)
    scores = drawn if prior_removed else with_prior(drawn)
    scores = SplitScores(scores.rows, scores.labels, scores.logits.log_softmax(dim=1), scores.at_prior)
    model = Decision(FIVE_COUNTS, CrossEntropyLoss(logit_adjustment=prior_removed))
    model.choose(scores, BalancedAccuracy(), HEAD)
    known = scores.in_order()
    peer = decision_samples(known.logits.exp(), known.labels, FIVE_COUNTS, prior_removed, known.at_prior)
    assert peer.head == HEAD
    offset = BalancedAccuracy().choose(peer).offset
    # A model keeps the offset whose mean is 0, which decides the same.
    assert (offset - offset.mean()).tolist() == pytest.approx(model.class_offset.tolist(), abs=1e-4)
    assert HeadKept().choose(peer).offset.tolist() == pytest.approx(model.head_kept_offset.tolist(), abs=1e-4)


def test_classes_without_training_samples_are_left_out() -> None:
    counts = torch.tensor([6, 3, 0])
    probabilities = torch.tensor([[0.9, 0.1, 0.0], [0.2, 0.8, 0.0], [0.1, 0.0, 0.9]])
    labels = torch.tensor([0, 1, 2])
    samples = decision_samples(probabilities, labels, counts, 0, probabilities.argmax(dim=1))
    assert samples.labels.tolist() == samples.at_prior.tolist() == [0, 1]
    for objective in (AsTrained(), BalancedAccuracy(), HeadKept()):
        scores = log_probabilities(probabilities, counts) + objective.choose(samples).offset
        assert scores.argmax(dim=1).tolist() == [0, 1, 0]
    assert accuracies(log_probabilities(probabilities, counts), labels, counts)["balanced_accuracy"] == 1
    assert ranking(probabilities, labels, counts)["auroc"] == 1
