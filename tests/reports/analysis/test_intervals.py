"""Intervals of recalls, accuracies and differences, against loops and the normal distribution."""

from __future__ import annotations

import math
from typing import Any

import hypothesis
import hypothesis.strategies as st
import numpy
import pytest
from numpy.typing import NDArray
from scipy.stats import binomtest
from sklearn.metrics import accuracy_score, recall_score
from statsmodels.stats.proportion import proportion_confint

from modules.evaluation.group_names import Group
from reports.analysis.intervals import (
    FEWEST,
    UNKNOWN,
    Estimate,
    accuracies,
    accuracy_differences,
    paired_interval,
    wilson,
)

GROUPS: tuple[Group, ...] = ("head", "head", "middle", "tail")


@hypothesis.given(st.lists(st.integers(0, 40).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), max_size=8))
def test_wilson_is_the_formula(counts: list[tuple[int, int]]) -> None:
    hits, samples = (numpy.array([pair[place] for pair in counts], dtype=int) for place in (0, 1))
    low, high = wilson(hits, samples)
    z = 1.959963984540054
    for place, (hit, n) in enumerate(counts):
        if n == 0:
            assert numpy.isnan([low[place], high[place]]).all()
            continue
        share = hit / n
        center = (share + z**2 / (2 * n)) / (1 + z**2 / n)
        margin = z / (1 + z**2 / n) * math.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
        assert (low[place], high[place]) == pytest.approx((center - margin, center + margin), abs=1e-9)


@pytest.mark.parametrize(("hits", "number"), [(0, 5), (5, 5), (116, 129), (1, 10_000)])
def test_wilson_is_that_of_statsmodels(hits: int, number: int) -> None:
    low, high = wilson(numpy.array([hits]), numpy.array([number]))
    assert (low[0], high[0]) == pytest.approx(proportion_confint(hits, number, method="wilson"), abs=1e-9)


def test_accuracies_are_those_of_scikit_learn() -> None:
    generator = numpy.random.default_rng(1)
    codes = numpy.repeat(numpy.arange(4), (40, 20, 9, 5))
    predicted, other = (numpy.where(generator.random(74) < share, codes, 0) for share in (0.8, 0.6))
    sizes, counted = numpy.bincount(codes), numpy.ones(4, dtype=bool)
    recalls = [recall_score(codes, one, average=None) for one in (predicted, other)]
    expected = {
        "balanced_accuracy": [recall.mean() for recall in recalls],
        "accuracy": [accuracy_score(codes, one) for one in (predicted, other)],
        "head_accuracy": [recall[:2].mean() for recall in recalls],
        "middle_accuracy": [recall[2] for recall in recalls],
        "tail_accuracy": [recall[3] for recall in recalls],
    }
    own = accuracies(codes, predicted, counted, sizes, GROUPS)
    gains = accuracy_differences(codes, predicted, other, counted, sizes, GROUPS)
    assert set(own) == set(gains) == set(expected)
    for name, (first, second) in expected.items():
        assert own[name].value == pytest.approx(first)
        assert gains[name].value == pytest.approx(first - second)
        assert own[name].low <= first <= own[name].high
    assert [own[f"{name}_accuracy"].samples for name in ("balanced", "head", "middle", "tail")] == [74, 60, 9, 5]


def test_metrics_by_hand() -> None:
    codes = numpy.repeat(numpy.arange(5), (10, 10, 5, 1, 0))
    hits = numpy.concatenate([numpy.arange(size) < right for size, right in ((10, 9), (10, 3), (5, 3), (1, 1))])
    groups: tuple[Group, ...] = ("head", "head", "middle", "tail", "tail")
    found = accuracies(
        codes, numpy.where(hits, codes, 4), numpy.arange(5) < 4, numpy.bincount(codes, minlength=5), groups
    )
    assert found["balanced_accuracy"].value == pytest.approx((0.9 + 0.3 + 0.6 + 1.0) / 4)
    assert found["accuracy"].value == pytest.approx((9 + 3 + 3 + 1) / 26)
    assert found["head_accuracy"].value == pytest.approx(0.6)
    assert found["tail_accuracy"].value == pytest.approx(1.0)


def test_accuracy_counts_the_samples_that_were_not_evaluated() -> None:
    codes, predicted = numpy.array([0, 0, 1, 1]), numpy.array([0, 0, 1, 0])
    found = accuracies(codes, predicted, numpy.array([True, True]), numpy.array([30, 10]), ("head", "tail"))
    assert found["accuracy"].value == pytest.approx((30 * 1 + 10 * 0.5) / 40)
    assert found["balanced_accuracy"].value == pytest.approx(0.75)


def test_a_group_without_counted_classes_is_unknown() -> None:
    found = accuracies(numpy.array([0, 1]), numpy.array([0, 1]), numpy.array([True, False]), numpy.ones(2), GROUPS[1:3])
    assert found["middle_accuracy"] is UNKNOWN
    assert not UNKNOWN.is_clear


def test_samples_that_are_all_right_leave_room_for_an_error() -> None:
    codes = numpy.arange(10)
    found = accuracies(codes, codes, numpy.ones(10, dtype=bool), numpy.ones(10), ("head",) * 10)["balanced_accuracy"]
    low, _ = wilson(numpy.array([10]), numpy.array([10]))
    assert (found.value, found.high) == (1, 1)
    assert found.low == pytest.approx(low[0])


@pytest.mark.parametrize(("low", "high", "clear"), [(-1, 1, False), (0, 1, False), (0.1, 1, True), (-1, -0.1, True)])
def test_a_difference_is_clear_if_its_interval_leaves_out_0(low: float, high: float, clear: bool) -> None:
    assert Estimate((low + high) / 2, low, high, 9).is_clear is clear


def test_most_intervals_hold_the_true_accuracy_where_most_classes_have_one_sample() -> None:
    generator = numpy.random.default_rng(6)
    codes = numpy.repeat(numpy.arange(73), [1] * 43 + [2] * 19 + [3] * 6 + [4] * 3 + [7, 11])
    groups: tuple[Group, ...] = ("tail",) * 22 + ("head",) * 51
    held = {"balanced_accuracy": 0, "tail_accuracy": 0}
    for _ in range(100):
        chances = generator.beta(4, 1, 73)
        predicted = numpy.where(generator.random(len(codes)) < chances[codes], codes, 73)
        found = accuracies(codes, predicted, numpy.ones(73, dtype=bool), numpy.bincount(codes), groups)
        for name, truth in (("balanced_accuracy", chances.mean()), ("tail_accuracy", chances[:22].mean())):
            held[name] += found[name].low <= truth <= found[name].high
    assert min(held.values()) >= 90


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


@pytest.mark.parametrize("samples", [1, 2])
def test_one_or_two_samples_make_no_clear_difference(samples: int) -> None:
    codes, right = numpy.repeat([0, 1, 2], (40, 20, 10)), numpy.ones(70, dtype=bool)
    # Of the smallest class, whose resamples borrow the most from the others.
    other = numpy.arange(70) < 70 - samples
    assert paired_interval(codes, right, other, numpy.ones(3, dtype=bool))[0] <= 0
    assert paired_interval(codes, other, right, numpy.ones(3, dtype=bool))[1] >= 0


@pytest.mark.parametrize(("samples", "clear"), [(FEWEST - 1, False), (FEWEST, True)])
def test_a_clear_difference_rests_on_enough_samples(samples: int, clear: bool) -> None:
    codes = numpy.repeat([0, 1], 30)
    other = numpy.where(numpy.arange(60) < samples, 1, codes)
    groups: tuple[Group, ...] = ("head", "tail")
    found = accuracy_differences(codes, codes, other, numpy.ones(2, dtype=bool), numpy.array([30, 30]), groups)
    assert {name for name, one in found.items() if one.is_clear} == (
        {"balanced_accuracy", "accuracy", "head_accuracy"} if clear else set()
    )
    exact = binomtest(samples, samples).pvalue
    assert bool(exact < 0.05) is clear
    assert accuracies(codes, other, numpy.ones(2, dtype=bool), numpy.array([30, 30]), groups)["tail_accuracy"].low > 0.8


@hypothesis.given(st.lists(st.tuples(st.integers(0, 4), st.booleans(), st.booleans()), min_size=1, max_size=40))
def test_equal_outcomes_differ_by_nothing_and_bounds_are_in_order(samples: list[tuple[int, bool, bool]]) -> None:
    codes, right, other = (numpy.array(values) for values in zip(*samples, strict=True))
    counted = numpy.bincount(codes, minlength=5) > 0
    assert paired_interval(codes, right, right, counted) == (0, 0)
    low, high = paired_interval(codes, right, other, counted)
    assert -1 <= low <= high <= 1


def test_rows_that_are_repeated_say_nothing_new() -> None:
    generator = numpy.random.default_rng(9)
    codes = numpy.repeat(numpy.arange(4), (20, 10, 6, 4))
    predicted, other = (numpy.where(generator.random(40) < share, codes, 0) for share in (0.8, 0.5))
    counted, sizes = numpy.ones(4, dtype=bool), numpy.bincount(codes)
    often, once, again, samples = (numpy.tile(values, 10) for values in (codes, predicted, other, numpy.arange(40)))
    expected = accuracies(codes, predicted, counted, sizes, GROUPS)
    found = accuracies(often, once, counted, 10 * sizes, GROUPS, samples)
    gains = accuracy_differences(codes, predicted, other, counted, sizes, GROUPS)
    found_gains = accuracy_differences(often, once, again, counted, 10 * sizes, GROUPS, samples)
    pairs = [*zip(expected.values(), found.values(), strict=True)]
    for one, repeated in [*pairs, *zip(gains.values(), found_gains.values(), strict=True)]:
        assert repeated.value == pytest.approx(one.value)
        assert repeated.samples == one.samples
        assert (repeated.low, repeated.high) == pytest.approx((one.low, one.high), abs=0.05)


def test_samples_of_one_row_may_have_any_numbers() -> None:
    generator = numpy.random.default_rng(2)
    codes = numpy.repeat(numpy.arange(4), (20, 10, 6, 4))
    predicted = numpy.where(generator.random(40) < 0.7, codes, 0)
    counted, sizes = numpy.ones(4, dtype=bool), numpy.bincount(codes)
    found = accuracies(codes, predicted, counted, sizes, GROUPS, generator.permutation(40))
    assert found == accuracies(codes, predicted, counted, sizes, GROUPS)
