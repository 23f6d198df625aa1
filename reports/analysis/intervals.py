"""Intervals of recalls, accuracies and their differences: what the choice of test samples leaves open."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy
from numpy.typing import NDArray

from reports.analysis.class_scores import GROUPS, Group

RESAMPLES = 1_000
"""Number of bootstrap resamples of the test samples."""

FEWEST = 6
"""Fewest samples that two models treat differently for a difference to be clear: by chance alone, five would all speak
for the same model in 2 of 2**5 cases, which is more than 5 %."""

_DIFFERENCE = numpy.array([0, 1, -1, 0])
"""What the outcomes add to the difference: both right, the first alone, the second alone, neither."""


@dataclass(frozen=True)
class Estimate:
    """A value measured on test samples, with its 95 % interval.

    Attributes:
        value: The value; NaN without samples.
        low: Lower bound.
        high: Upper bound.
        samples: Number of test samples it is measured on.
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
    """95 % intervals of fractions by Wilson's score method (Wilson, 1927).

    It stays within 0 and 1 and is not empty for 0 of 3 or 3 of 3.

    Args:
        hits: int (C,), successes.
        samples: int (C,), trials.

    Returns:
        Lower and upper bounds, float64 (C,); NaN without trials.
    """
    from scipy.stats import binomtest

    bounds = numpy.full((2, len(samples)), numpy.nan)
    # Classes of the same counts, of which a long tail has many, share their interval.
    for hit, all_of in {*zip(hits.tolist(), samples.tolist(), strict=True)}:
        if all_of:
            found = binomtest(hit, all_of).proportion_ci(method="wilson")
            bounds[:, (hits == hit) & (samples == all_of)] = [[found.low], [found.high]]
    return bounds[0], bounds[1]


def accuracy_differences(
    codes: NDArray[Any],
    predicted: NDArray[Any],
    other: NDArray[Any],
    counted: NDArray[Any],
    sizes: NDArray[Any],
    groups: Sequence[Group],
) -> dict[str, Estimate]:
    """How much higher the accuracies of one model are than those of another on the same samples.

    An interval holds 0 if the models differ on fewer than `FEWEST` samples.

    Args:
        codes: int (n,), class codes of the samples.
        predicted: int (n,), class codes that the first model predicts.
        other: int (n,), class codes that the second model predicts.
        counted: bool (C,), the classes that count, each with samples.
        sizes: int (C,), test samples of each class, also those that are not among the n, by which `accuracy` weights.
        groups: Group of each class.

    Returns:
        Differences of `balanced_accuracy`, `accuracy`, `head_accuracy`, `middle_accuracy` and `tail_accuracy`;
        `UNKNOWN` where no class of a group counts.
    """
    right, other_right = predicted == codes, other == codes
    found = _differences(codes, right, other_right, counted, sizes, groups)
    kinds = numpy.array(groups)[codes]
    for name, gain in found.items():
        own = kinds == name.removesuffix("_accuracy") if name.removesuffix("_accuracy") in GROUPS else slice(None)
        differing = int((counted[codes] & (right != other_right))[own].sum())
        found[name] = with_doubt(gain, differing)
    return found


def with_doubt(gain: Estimate, differing: int) -> Estimate:
    """A difference whose interval holds 0 if it rests on fewer than `FEWEST` samples.

    Args:
        gain: The difference.
        differing: Number of samples that the models treat differently.
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
) -> dict[str, Estimate]:
    """The accuracies of one model, as `accuracy_differences`.

    Where all samples of a group are right, or all wrong, resamples do not vary, and the interval is Wilson's of them.
    """
    found = _differences(codes, predicted == codes, numpy.zeros(len(codes), dtype=bool), counted, sizes, groups)
    return {name: _with_bounds(one) if one.value in (0.0, 1.0) else one for name, one in found.items()}


def _differences(
    codes: NDArray[Any],
    right: NDArray[Any],
    other_right: NDArray[Any],
    counted: NDArray[Any],
    sizes: NDArray[Any],
    groups: Sequence[Group],
) -> dict[str, Estimate]:
    kinds = numpy.array(groups)
    masks = {f"{group}_accuracy": counted & (kinds == group) for group in GROUPS}
    found = {"balanced_accuracy": _difference(codes, right, other_right, counted, None)}
    found["accuracy"] = _difference(codes, right, other_right, counted, sizes)
    return found | {name: _difference(codes, right, other_right, mask, None) for name, mask in masks.items()}


def _with_bounds(one: Estimate) -> Estimate:
    hits = numpy.array([round(one.value * one.samples)])
    low, high = wilson(hits, numpy.array([one.samples]))
    return replace(one, low=float(low[0]), high=float(high[0]))


def _difference(
    codes: NDArray[Any],
    right: NDArray[Any],
    other_right: NDArray[Any],
    counted: NDArray[Any],
    weights: NDArray[Any] | None,
) -> Estimate:
    if not counted.any():
        return UNKNOWN
    gains = numpy.bincount(codes, right.astype(float) - other_right, minlength=len(counted))[counted]
    support = numpy.bincount(codes, minlength=len(counted))[counted]
    value = float(numpy.average(gains / support, weights=None if weights is None else weights[counted]))
    low, high = paired_interval(codes, right, other_right, counted, weights=weights)
    return Estimate(value, low, high, int(support.sum()))


def paired_interval(
    codes: NDArray[Any],
    right: NDArray[Any],
    other_right: NDArray[Any],
    counted: NDArray[Any],
    seed: int = 0,
    weights: NDArray[Any] | None = None,
) -> tuple[float, float]:
    """95 % percentile bootstrap interval of the difference in the mean recall of two models.

    Every class keeps its number n of samples. Each resampled one is one of them or, with probability 1 / (n + 1), a
    sample of a class drawn at random. Without the latter, a class with a single sample would not vary: on the embedded
    drugs, of which most classes have one test sample, about half of the intervals would then hold the true difference.
    The interval is moved to the observed difference.

    Args:
        codes: int (n,), class codes of the samples.
        right: bool (n,), whether the first model is right.
        other_right: bool (n,), whether the second model is right.
        counted: bool (C,), the classes to average over, each with samples.
        seed: Random seed.
        weights: (C,), weights of the classes in the mean; equal if None, which gives the balanced accuracy.
    """
    support, both, ours, theirs = (
        numpy.bincount(codes[chosen], minlength=len(counted))[counted]
        for chosen in (slice(None), right & other_right, right & ~other_right, ~right & other_right)
    )
    outcomes = numpy.stack([both, ours, theirs, support - both - ours - theirs], axis=1)
    shares = outcomes / support[:, None]
    chances = (outcomes + shares.mean(axis=0)) / (support[:, None] + 1)
    # Samples of one class differ by their outcome alone, so how many of each are drawn says all.
    draws = numpy.random.default_rng(seed).multinomial(support, chances, size=(RESAMPLES, len(support)))
    of_classes = None if weights is None else weights[counted]
    differences = numpy.average(draws / support[:, None], axis=1, weights=of_classes) @ _DIFFERENCE
    shift = float(numpy.average(shares - chances, axis=0, weights=of_classes) @ _DIFFERENCE)
    low, high = numpy.quantile(differences, (0.025, 0.975)).tolist()
    return moved_bounds(low, high, shift)


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
