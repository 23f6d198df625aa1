"""The logistic regression against a model: recall, difference and its interval, against loops."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import hypothesis
import hypothesis.strategies as st
import numpy
import pytest
from numpy.typing import NDArray
from sklearn.metrics import recall_score

from reports.analysis.baseline import compare_baseline, paired_interval
from reports.analysis.baseline_fit import FittedBaseline
from reports.analysis.class_scores import ClassScores, summary_metrics

FITTED = FittedBaseline("Morgan counts", numpy.array([0, 1, 0, 1, 2, 0]), 9, 9, 1)
CODES = numpy.array([0, 0, 0, 1, 1, 2])
PREDICTED = numpy.array([0, 0, 0, 1, 0, 2])
SCORES = ClassScores(
    ("a", "b", "c", "d"),
    numpy.array([5, 3, 0, 1]),
    numpy.array([3, 2, 1, 0]),
    # The third class has no training sample, and the fourth no test sample.
    numpy.array([1.0, 0.5, math.nan, math.nan]),
    ("head", "middle", "tail", "tail"),
)


def test_accuracies_and_difference_by_hand() -> None:
    found = compare_baseline(FITTED, CODES, PREDICTED, SCORES)
    assert found is not None
    assert found.scores.recall.tolist() == pytest.approx([2 / 3, 1 / 2, math.nan, math.nan], nan_ok=True)
    assert summary_metrics(found.scores)["head_accuracy"] == pytest.approx(2 / 3)
    assert found.difference == pytest.approx((1 - 2 / 3 + 0.5 - 0.5) / 2)
    ours, other = (recall_score(CODES, one, labels=[0, 1], average="macro") for one in (PREDICTED, FITTED.predicted))
    assert found.difference == pytest.approx(ours - other)
    right = PREDICTED == CODES, FITTED.predicted == CODES
    assert found.interval == paired_interval(CODES, *right, numpy.array([True, True, False, False]))


def test_without_a_counted_class_there_is_no_comparison() -> None:
    unseen = replace(SCORES, recall=numpy.full(4, math.nan))
    assert compare_baseline(FITTED, CODES, PREDICTED, unseen) is None


def looped_interval(
    codes: NDArray[Any], right: NDArray[Any], other: NDArray[Any], resamples: int
) -> tuple[float, float]:
    """The interval by drawing samples one by one."""
    generator = numpy.random.default_rng(7)
    members = [numpy.flatnonzero(codes == code) for code in numpy.unique(codes)]
    values = []
    for _ in range(resamples):
        recalls = []
        for own in members:
            drawn = []
            for _ in own:
                borrows = generator.random() < 1 / (len(own) + 1)
                source = members[generator.integers(len(members))] if borrows else own
                drawn.append(source[generator.integers(len(source))])
            recalls.append(right[drawn].mean() - other[drawn].mean())
        values.append(numpy.mean(recalls))
    observed = numpy.mean([right[own].mean() - other[own].mean() for own in members])
    chances = [
        numpy.mean([right[one].mean() - other[one].mean() for one in members]) / (len(own) + 1)
        + (right[own].mean() - other[own].mean()) * len(own) / (len(own) + 1)
        for own in members
    ]
    low, high = numpy.quantile(values, (0.025, 0.975)) + observed - numpy.mean(chances)
    return low, high


def test_the_interval_is_that_of_a_loop_over_samples() -> None:
    generator = numpy.random.default_rng(3)
    codes = numpy.repeat(numpy.arange(7), (1, 1, 2, 3, 6, 12, 30))
    right, other = generator.random((2, len(codes))) < [[0.8], [0.6]]
    found = paired_interval(codes, right, other, numpy.ones(7, dtype=bool))
    expected = looped_interval(codes, right, other, 4_000)
    assert found == pytest.approx(expected, abs=0.03)
    # A tenth of the width, which samples of the classes alone would not have.
    assert expected[1] - expected[0] > 0.3


def test_with_many_samples_it_is_the_interval_of_the_normal_distribution() -> None:
    codes = numpy.repeat([0, 1], 4_000)
    places = numpy.arange(8_000)
    right, other = places % 10 < 7, (places % 10 < 5) | (places % 10 == 9)
    low, high = paired_interval(codes, right, other, numpy.array([True, True]))
    # Per sample the difference is 1 with chance 0.2 and -1 with chance 0.1.
    error = math.sqrt((0.3 - 0.1**2) / 8_000)
    assert (low, high) == pytest.approx((0.1 - 1.96 * error, 0.1 + 1.96 * error), abs=0.002)


def test_a_class_of_one_sample_varies_as_the_others_do() -> None:
    codes, right = numpy.arange(20), numpy.arange(20) % 2 == 0
    low, high = paired_interval(codes, right, ~right, numpy.ones(20, dtype=bool))
    assert -0.6 < low < -0.2
    assert 0.2 < high < 0.6


def test_most_intervals_hold_the_true_difference_where_most_classes_have_one_sample() -> None:
    generator = numpy.random.default_rng(5)
    codes = numpy.repeat(numpy.arange(73), [1] * 43 + [2] * 19 + [3] * 6 + [4] * 3 + [7, 11])
    held = 0
    for _ in range(100):
        # Of both right, the first alone, the second alone and neither.
        chances = generator.dirichlet([1.1, 0.24, 0.16, 0.5], 73)
        outcomes = (generator.random((len(codes), 1)) > chances.cumsum(axis=1)[codes, :3]).sum(axis=1)
        low, high = paired_interval(codes, outcomes < 2, outcomes % 2 == 0, numpy.ones(73, dtype=bool))
        held += low <= (chances[:, 1] - chances[:, 2]).mean() <= high
    assert held >= 90


def test_classes_that_are_left_out_change_nothing() -> None:
    codes = numpy.repeat([0, 1, 2], 10)
    right, other = numpy.arange(30) % 3 > 0, numpy.arange(30) % 4 > 1
    kept = codes < 2
    expected = paired_interval(codes[kept], right[kept], other[kept], numpy.array([True, True]))
    assert paired_interval(codes, right, other, numpy.array([True, True, False])) == expected


@hypothesis.given(st.lists(st.tuples(st.integers(0, 4), st.booleans(), st.booleans()), min_size=1, max_size=40))
def test_equal_outcomes_differ_by_nothing_and_bounds_are_in_order(samples: list[tuple[int, bool, bool]]) -> None:
    codes, right, other = (numpy.array(values) for values in zip(*samples, strict=True))
    counted = numpy.bincount(codes, minlength=5) > 0
    assert paired_interval(codes, right, right, counted) == (0, 0)
    low, high = paired_interval(codes, right, other, counted)
    assert -1 <= low <= high <= 1
