"""The decision that peers get on the validation samples."""

from __future__ import annotations

import math

import numpy
import pytest
import torch
from torch import Tensor

from benchmarks.peer_decision import Choice, accuracies, choose, corrected, ranking, strengths

COUNTS = torch.tensor([90, 10])


def two_classes(*second: float) -> Tensor:
    """Probabilities of two classes, from those of the second."""
    column = torch.tensor(second)
    return torch.stack([1 - column, column], dim=1)


# A sample is predicted as the second class from the strength -log(odds) / log(9) on: 0.386, 1.112, 0.631 and 1.340.
PROBABILITIES = two_classes(0.3, 0.08, 0.2, 0.2, *[0.05] * 8)
LABELS = torch.tensor([1, 1] + [0] * 10)


def test_strength_1_divides_by_the_prior() -> None:
    scores = corrected(two_classes(0.4), COUNTS, 1)
    assert scores.tolist() == [pytest.approx([math.log(0.6 / 0.9), math.log(0.4 / 0.1)])]
    assert corrected(two_classes(0.4), COUNTS, 0).exp().tolist() == [pytest.approx([0.6, 0.4])]


def test_class_weights_leave_the_same_room_above_and_the_way_back_to_the_prior() -> None:
    assert strengths(0) == pytest.approx([0.1 * step for step in range(21)])
    assert strengths(1) == pytest.approx([0.1 * step for step in range(31)])


def test_a_class_without_training_samples_is_never_predicted() -> None:
    probabilities = torch.tensor([[0.1, 0.0, 0.9], [0.0, 1.0, 0.0]])
    for strength in strengths(0):
        assert corrected(probabilities, torch.tensor([5, 5, 0]), strength).argmax(dim=1).tolist() == [0, 1]


def test_the_best_strength_is_found_and_of_equal_ones_that_nearest_to_1() -> None:
    # From 0.4 to 0.6 half of the second class and all of the first are right, at 1.2 and 1.3 all and eight of ten.
    assert choose(PROBABILITIES, LABELS, COUNTS, 0, head_reference=1.0) == Choice(balanced=1.2, head_kept=0.6)
    assert choose(PROBABILITIES, LABELS, COUNTS, 0, head_reference=0.8) == Choice(balanced=1.2, head_kept=1.2)


def test_where_every_strength_loses_the_head_the_least_loss_counts() -> None:
    head_lost = two_classes(0.3, 0.95, 0.2)
    labels = torch.tensor([1, 0, 0])
    # At every strength the second sample is wrong, and at 0.7 and above the third too.
    assert choose(head_lost, labels, COUNTS, 0, head_reference=1.0) == Choice(balanced=0.6, head_kept=0.6)


def test_probabilities_without_the_prior_have_the_same_choice() -> None:
    without = PROBABILITIES / COUNTS
    without /= without.sum(dim=1, keepdim=True)
    assert choose(without, LABELS, COUNTS, 1, 1.0) == choose(PROBABILITIES, LABELS, COUNTS, 0, 1.0)


def test_choices_are_those_of_a_loop() -> None:
    generator = numpy.random.default_rng(0)
    counts, samples = numpy.array([60, 25, 8, 4]), 80
    labels = generator.choice(4, samples, p=[0.4, 0.3, 0.2, 0.1])
    chances = generator.dirichlet(counts / 20, samples) + 0.5 * numpy.eye(4)[labels] * generator.random((samples, 1))
    chances /= chances.sum(axis=1, keepdims=True)

    def recalls(strength: float) -> list[float]:
        weighted = chances / (counts / counts.sum()) ** strength
        own = [[row.argmax() == label for row in weighted[labels == label]] for label in range(4)]
        return [sum(hits) / len(hits) for hits in own]

    # With four classes the two largest are the head.
    reference = sum(recalls(0)[:2]) / 2
    kept = [strength for strength in strengths(0) if sum(recalls(strength)[:2]) / 2 >= reference - 0.01]
    expected = [
        max(allowed, key=lambda strength: (round(sum(recalls(strength)), 9), -abs(strength - 1)))
        for allowed in (strengths(0), kept)
    ]
    found = choose(torch.from_numpy(chances), torch.from_numpy(labels), torch.from_numpy(counts), 0, reference)
    assert [found.balanced, found.head_kept] == expected
    assert expected[0] != expected[1]


def test_samples_of_unknown_classes_do_not_count() -> None:
    counts = torch.tensor([6, 3, 0])
    probabilities = torch.tensor([[0.9, 0.1, 0.0], [0.2, 0.8, 0.0], [0.6, 0.4, 0.0]])
    labels = torch.tensor([0, 1, 2])
    assert accuracies(corrected(probabilities, counts, 0), labels, counts)["balanced_accuracy"] == 1
    assert ranking(probabilities, labels, counts)["auroc"] == 1
