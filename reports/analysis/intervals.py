"""Intervals of recalls, accuracies and their differences: what the choice of test samples leaves open."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy
from numpy.typing import NDArray

from modules.evaluation.group_names import GROUPS, Group
from reports.analysis.same_samples import different, same_numbers

RESAMPLES = 1_000
"""Number of bootstrap resamples of the test samples."""

FEWEST = 6
"""Fewest samples that two models treat differently for a difference to be clear: by chance alone, five would all speak
for the same model in 2 of 2**5 cases, which is more than 5 %."""

_DIFFERENCE = numpy.array([0, 1, -1, 0])
"""What the outcomes add to the difference: both right, the first alone, the second alone, neither."""

_Z = 1.959963984540054
"""Quantile of the normal distribution of 95 % intervals."""

_DRAWS_AT_ONCE = 10_000_000


@dataclass(frozen=True)
class Estimate:
    """A value measured on test samples, with its 95 % interval.

    Attributes:
        value: The value; NaN without samples.
        low: Lower bound.
        high: Upper bound.
        samples: Number of different test samples it is measured on.
    """

    value: float
    low: float
    high: float
    samples: int

    @property
    def is_clear(self) -> bool:
        """Whether the interval leaves out 0, so that a difference is more than noise."""
        return self.low > 0 or self.high < 0


UNKNOWN = Estimate(numpy.nan, numpy.nan, numpy.nan, 0)


def wilson(hits: NDArray[Any], samples: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """95 % intervals of fractions by Wilson's score method (Wilson, 1927, J. Am. Stat. Assoc. 22, 209).

    It stays within 0 and 1 and is not empty for 0 of 3 or 3 of 3.

    Args:
        hits: (C,), successes; of samples with several rows, the share of the rows times the number of samples.
        samples: int (C,), trials.

    Returns:
        Lower and upper bounds, float64 (C,); NaN without trials.
    """
    trials = numpy.where(samples > 0, samples, numpy.nan)
    share, square = hits / trials, _Z**2 / trials
    center = (share + square / 2) / (1 + square)
    half = numpy.sqrt(share * (1 - share) * square + square**2 / 4) / (1 + square)
    return numpy.where(share == 0, 0.0, center - half), numpy.where(share == 1, 1.0, center + half)


def accuracy_differences(
    codes: NDArray[Any],
    predicted: NDArray[Any],
    other: NDArray[Any],
    counted: NDArray[Any],
    sizes: NDArray[Any],
    groups: Sequence[Group],
    samples: NDArray[Any] | None = None,
) -> dict[str, Estimate]:
    """How much higher the accuracies of one model are than those of another on the same samples.

    An interval holds 0 if the models differ on fewer than `FEWEST` samples.

    Args:
        codes: int (n,), class codes of the rows.
        predicted: int (n,), class codes that the first model predicts.
        other: int (n,), class codes that the second model predicts.
        counted: bool (C,), the classes that count, each with samples.
        sizes: int (C,), test rows of each class, also those that are not among the n, by which `accuracy` weights.
        groups: Group of each class.
        samples: int (n,), equal for rows of the same sample, which are drawn together; each row is one if None.

    Returns:
        Differences of `balanced_accuracy`, `accuracy`, `head_accuracy`, `middle_accuracy` and `tail_accuracy`;
        `UNKNOWN` where no class of a group counts.
    """
    right, other_right = predicted == codes, other == codes
    numbers = same_numbers(samples, len(codes))
    found = _differences(codes, right, other_right, counted, sizes, groups, numbers)
    kinds = numpy.array(groups)[codes]
    differs = counted[codes] & (right != other_right)
    for name, gain in found.items():
        group = name.removesuffix("_accuracy")
        own = differs & (kinds == group) if group in GROUPS else differs
        found[name] = with_doubt(gain, different(numbers[own]))
    return found


def with_doubt(gain: Estimate, differing: int) -> Estimate:
    """A difference whose interval holds 0 if it rests on fewer than `FEWEST` samples.

    Args:
        gain: The difference.
        differing: Number of different samples that the models treat differently.
    """
    if differing >= FEWEST or not gain.samples:
        return gain
    return replace(gain, low=min(gain.low, 0.0), high=max(gain.high, 0.0))


def accuracies(
    codes: NDArray[Any],
    predicted: NDArray[Any],
    counted: NDArray[Any],
    sizes: NDArray[Any],
    groups: Sequence[Group],
    samples: NDArray[Any] | None = None,
) -> dict[str, Estimate]:
    """The accuracies of one model, with the arguments of `accuracy_differences`.

    Where all samples of a group are right, or all wrong, resamples do not vary, and the interval is Wilson's of them.
    """
    none, numbers = numpy.zeros(len(codes), dtype=bool), same_numbers(samples, len(codes))
    found = _differences(codes, predicted == codes, none, counted, sizes, groups, numbers)
    return {name: _with_bounds(one) if one.value in (0.0, 1.0) else one for name, one in found.items()}


def _differences(
    codes: NDArray[Any],
    right: NDArray[Any],
    other_right: NDArray[Any],
    counted: NDArray[Any],
    sizes: NDArray[Any],
    groups: Sequence[Group],
    samples: NDArray[Any],
) -> dict[str, Estimate]:
    kinds = numpy.array(groups)
    masks = {f"{group}_accuracy": counted & (kinds == group) for group in GROUPS}
    given = (codes, right, other_right)
    found = {"balanced_accuracy": _difference(*given, counted, None, samples)}
    found["accuracy"] = _difference(*given, counted, sizes, samples)
    return found | {name: _difference(*given, mask, None, samples) for name, mask in masks.items()}


def _with_bounds(one: Estimate) -> Estimate:
    low, high = wilson(numpy.array([one.value * one.samples]), numpy.array([one.samples]))
    return replace(one, low=float(low[0]), high=float(high[0]))


def _difference(
    codes: NDArray[Any],
    right: NDArray[Any],
    other_right: NDArray[Any],
    counted: NDArray[Any],
    weights: NDArray[Any] | None,
    samples: NDArray[Any],
) -> Estimate:
    if not counted.any():
        return UNKNOWN
    gains = numpy.bincount(codes, right.astype(float) - other_right, minlength=len(counted))[counted]
    support = numpy.bincount(codes, minlength=len(counted))[counted]
    value = float(numpy.average(gains / support, weights=None if weights is None else weights[counted]))
    low, high = paired_interval(codes, right, other_right, counted, weights=weights, samples=samples)
    return Estimate(value, low, high, different(samples[counted[codes]]))


def paired_interval(
    codes: NDArray[Any],
    right: NDArray[Any],
    other_right: NDArray[Any],
    counted: NDArray[Any],
    seed: int = 0,
    weights: NDArray[Any] | None = None,
    samples: NDArray[Any] | None = None,
) -> tuple[float, float]:
    """95 % percentile bootstrap interval of the difference in the mean recall of two models.

    Every class keeps its number n of samples. Each resampled one is one of them or, with probability 1 / (n + 1), has
    the outcome of a row of a sample of a class drawn at random. Without the latter, a class with a single sample would
    not vary: on the bundled drugs, of which most classes have one test sample, about half of the intervals would then
    hold the true difference. A sample comes with all of its rows of the class, and an outcome with as many as the
    class's samples have in the mean. The interval is moved to the observed difference.

    Args:
        codes: int (n,), class codes of the rows.
        right: bool (n,), whether the first model is right.
        other_right: bool (n,), whether the second model is right.
        counted: bool (C,), the classes to average over, each with samples.
        seed: Random seed.
        weights: (C,), weights of the classes in the mean; equal if None, which gives the balanced accuracy.
        samples: int (n,), equal for rows of the same sample; each row is one if None.
    """
    kinds, numbers = _kinds_of_samples(codes, right, other_right, len(counted), samples)
    numbers = numbers[counted]
    rows, support = kinds.sum(axis=1), numbers.sum(axis=1)
    outcomes = (numbers @ (kinds / rows[:, None]) / support[:, None]).mean(axis=0)
    of_classes = None if weights is None else weights[counted]
    generator = numpy.random.default_rng(seed)

    def mean(differences: NDArray[Any]) -> NDArray[Any]:
        return numpy.average(differences, axis=-1, weights=of_classes)

    # Samples of one kind do not differ, so how many of each are drawn says all.
    if len(kinds) == len(_DIFFERENCE):
        chances = (numbers + outcomes) / (support[:, None] + 1)
        at_once = max(1, _DRAWS_AT_ONCE // numbers.size)
        sizes = [min(at_once, RESAMPLES - start) for start in range(0, RESAMPLES, at_once)]
        drawn = [generator.multinomial(support, chances, size=(size, len(support))) for size in sizes]
        resampled = mean(numpy.concatenate([times @ _DIFFERENCE for times in drawn]) / support)
        expected = float(mean(chances @ _DIFFERENCE))
    else:
        resampled = mean(_drawn_with_rows(kinds, numbers, outcomes, generator))
        expected = float(resampled.mean())
    low, high = numpy.quantile(resampled, (0.025, 0.975)).tolist()
    return moved_bounds(low, high, float(mean(numbers @ (kinds @ _DIFFERENCE) / (numbers @ rows))) - expected)


def _drawn_with_rows(
    kinds: NDArray[Any], numbers: NDArray[Any], outcomes: NDArray[Any], generator: numpy.random.Generator
) -> NDArray[Any]:
    """Differences of the recalls of C classes in resamples, float64 (R, C), where samples have several rows.

    Args:
        kinds: As of `_kinds_of_samples`, as the next.
        numbers: Samples of each class and kind.
        outcomes: Shares of the outcomes that are borrowed, (4,).
        generator: Random generator.
    """
    columns = []
    for of_class in numbers:
        own = numpy.flatnonzero(of_class)
        support, sizes = of_class.sum(), kinds[own].sum(axis=1)
        borrowed = of_class[own] @ sizes / support
        rows = numpy.concatenate([sizes, numpy.full(len(outcomes), borrowed)])
        gains = numpy.concatenate([kinds[own] @ _DIFFERENCE, borrowed * _DIFFERENCE])
        chances = numpy.concatenate([of_class[own], outcomes]) / (support + 1)
        times = generator.multinomial(support, chances, size=RESAMPLES)
        columns.append((times @ gains) / (times @ rows))
    return numpy.stack(columns, axis=1)


def _kinds_of_samples(
    codes: NDArray[Any],
    right: NDArray[Any],
    other_right: NDArray[Any],
    num_classes: int,
    samples: NDArray[Any] | None,
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Outcomes of the rows of K kinds of samples, int (K, 4), and samples of each class and kind, int (C, K).

    The first four kinds are samples with one row. A sample with rows of several classes is one sample of each.
    """
    _, first, of_row = numpy.unique(
        same_numbers(samples, len(codes)) * num_classes + codes, return_index=True, return_inverse=True
    )
    outcome = 2 * ~right + ~other_right
    size = len(_DIFFERENCE)
    outcomes = numpy.bincount(of_row.reshape(-1) * size + outcome, minlength=len(first) * size).reshape(-1, size)
    every = numpy.concatenate([numpy.eye(size, dtype=outcomes.dtype), outcomes])
    _, places, found = numpy.unique(every, axis=0, return_index=True, return_inverse=True)
    order = numpy.argsort(places)
    kind = numpy.argsort(order)[found.reshape(-1)[size:]]
    numbers = numpy.bincount(codes[first] * len(order) + kind, minlength=num_classes * len(order))
    return every[places[order]], numbers.reshape(num_classes, len(order))


def moved_bounds(low: float, high: float, shift: float) -> tuple[float, float]:
    """Bounds of a difference, moved, within -1 and 1.

    Moving alone must not make a difference clear: where two models differ on one sample, many resamples do not differ.

    Args:
        low: Lower bound.
        high: Upper bound.
        shift: What is added to both; a bound that would leave 0 behind stays at 0.
    """
    above, below = low + shift, high + shift
    if low <= 0 < above:
        above = 0.0
    if below < 0 <= high:
        below = 0.0
    return max(above, -1.0), min(below, 1.0)
