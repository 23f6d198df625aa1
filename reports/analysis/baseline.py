"""How much better a model is than the logistic regression on the same test samples."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy
from numpy.typing import NDArray

from reports.analysis.baseline_fit import FittedBaseline
from reports.analysis.class_scores import ClassScores, recall_per_class

RESAMPLES = 1_000
"""Number of bootstrap resamples of the test samples."""

_DIFFERENCE = numpy.array([0, 1, -1, 0])
"""What the outcomes add to the difference: both right, the first alone, the second alone, neither."""


@dataclass(frozen=True)
class Baseline:
    """The logistic regression against the model, on the same test samples.

    Attributes:
        fitted: What it is fitted on and predicts.
        scores: Its recall of the classes; NaN where that of the model is.
        difference: Balanced accuracy of the model minus that of the logistic regression.
        interval: Bounds of the 95 % interval of the difference, see `paired_interval`.
    """

    fitted: FittedBaseline
    scores: ClassScores
    difference: float
    interval: tuple[float, float]


def compare_baseline(
    fitted: FittedBaseline, codes: NDArray[Any], predicted: NDArray[Any], scores: ClassScores
) -> Baseline | None:
    """Hold the model against the logistic regression.

    Args:
        fitted: What the logistic regression predicts for the test samples.
        codes: int (n,), their class codes.
        predicted: int (n,), class codes that the model predicts.
        scores: Recall of the classes by the model; NaN where a class is left out.

    Returns:
        The comparison; None if all classes are left out.
    """
    counted = ~numpy.isnan(scores.recall)
    if not counted.any():
        return None
    recall = recall_per_class(codes, fitted.predicted, len(counted))
    recall[~counted] = numpy.nan
    difference = float((scores.recall - recall)[counted].mean())
    interval = paired_interval(codes, predicted == codes, fitted.predicted == codes, counted)
    return Baseline(fitted, replace(scores, recall=recall), difference, interval)


def paired_interval(
    codes: NDArray[Any], right: NDArray[Any], other_right: NDArray[Any], counted: NDArray[Any], seed: int = 0
) -> tuple[float, float]:
    """95 % percentile bootstrap interval of the difference in balanced accuracy of two models.

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
    differences = (draws / support[:, None]).mean(axis=1) @ _DIFFERENCE
    moved = differences + (shares - chances).mean(axis=0) @ _DIFFERENCE
    low, high = numpy.quantile(moved, (0.025, 0.975)).clip(-1, 1).tolist()
    return low, high
