"""The smallest offset of a group against a search over all offsets."""

from __future__ import annotations

import math

import pytest
import torch

from modules.decisions.group_offset import smallest_group_offset
from modules.decisions.samples import DecisionSamples
from tests.modules.decisions.drawn_scores import COUNTS, made_samples, made_scores, mean, recalls

GROUP = (1, 3)


def lower_bound(gains: torch.Tensor, labels: torch.Tensor) -> float:
    """The mean over the group's classes of the mean gain, less one standard error, class by class.

    Variances are those with one more sample that is predicted correctly and one that is not.
    """
    own = [gains[labels == code].double() for code in GROUP]
    more = [torch.cat([one, torch.tensor([0.0, 1.0])]) for one in own]
    variance = mean([float(two.var(correction=0)) / len(one) for one, two in zip(own, more, strict=True)]) / len(own)
    return mean([float(one.mean()) for one in own]) - math.sqrt(variance)


@pytest.mark.parametrize("least", [0.5, 0.7, 0.8])
def test_it_is_the_smallest_of_all_offsets_that_are_enough(least: float) -> None:
    samples = made_samples(made_scores(1_000, seed=1, margin=2.0))
    base = samples.offset(0.5)
    found, is_enough = smallest_group_offset(samples, base, GROUP, least)
    raised = (found - base).tolist()
    assert raised[0] == raised[2] == raised[4] == 0.0
    assert raised[1] == pytest.approx(raised[3], abs=1e-6)

    def is_reached(offset: float) -> bool:
        moved = base.clone()
        moved[list(GROUP)] += offset
        hits = samples.predicted(moved) == samples.labels
        return lower_bound(hits.double(), samples.labels) >= least

    grid = [step / 200 for step in range(1_600)]
    expected = next(offset for offset in grid if is_reached(offset))
    assert is_enough
    assert is_reached(raised[1])
    assert raised[1] == pytest.approx(expected, abs=0.02)


def test_what_no_offset_reaches_is_said_and_the_recall_is_the_highest() -> None:
    samples = made_samples(made_scores())
    base = samples.offset(0.0)
    found, is_enough = smallest_group_offset(samples, base, GROUP, 1.0)
    assert not is_enough
    everything = base.clone()
    everything[list(GROUP)] += 100
    best = recalls(samples.predicted(everything), samples.labels)
    reached = recalls(samples.predicted(found), samples.labels)
    assert [reached[code] for code in GROUP] == [best[code] for code in GROUP]


def test_a_few_samples_that_are_all_right_do_not_show_a_high_recall() -> None:
    # Five of five: a recall of 0.9 is as likely missed as reached, since 0.9^5 is 0.59.
    scores = torch.tensor([[1.0, 0.0]] * 5 + [[0.0, 1.0]] * 5)
    samples = DecisionSamples(
        scores, torch.tensor([0] * 5 + [1] * 5), torch.tensor([9, 9]), (0,), 0.0, scores.argmax(1)
    )
    assert not smallest_group_offset(samples, torch.zeros(2), (1,), 0.9)[1]
    # One standard error of Laplace's rule: sqrt(6/7 * 1/7 / 5) = 0.156.
    assert smallest_group_offset(samples, torch.zeros(2), (1,), 0.84)[1]
    assert not smallest_group_offset(samples, torch.zeros(2), (1,), 0.85)[1]


def test_a_group_without_samples_is_not_raised() -> None:
    samples = made_samples(made_scores())
    kept = samples.labels != 4
    own = type(samples)(samples.scores[kept], samples.labels[kept], COUNTS, (0, 1), 0.0, samples.at_prior[kept])
    found, is_enough = smallest_group_offset(own, own.offset(0.0), (4,), 0.5)
    assert not is_enough
    assert torch.equal(found, own.offset(0.0))
