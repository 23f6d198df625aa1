"""Rank correlation with a bootstrap interval."""

from __future__ import annotations

from math import nan
from typing import NamedTuple

import numpy

from experiments.paired_statistics import Floats, check_confidence, check_vector


class Correlation(NamedTuple):
    """Spearman's rank correlation with its bootstrap interval."""

    rho: float
    low: float
    high: float


def spearman(x: Floats, y: Floats, confidence: float = 0.95, seed: int = 0, resamples: int = 10_000) -> Correlation:
    """Spearman's rank correlation, with a percentile bootstrap interval over the pairs (Efron, 1979).

    Args:
        x: ``(N,)``, finite.
        y: ``(N,)``, finite.
        confidence: Coverage of the interval, between 0 and 1, exclusive.
        seed: Random seed of the resamples.
        resamples: Number of resamples; those in which `x` or `y` is constant are skipped.

    Returns:
        The correlation and its bounds, between -1 and 1; NaN for fewer than three pairs, or a constant `x` or `y`.

    Raises:
        ValueError: If an argument has another shape or range.
    """
    check_vector("x", x)
    check_vector("y", y)
    check_confidence(confidence)
    if len(x) != len(y):
        raise ValueError(f"y must have the length of x, {len(x)}, got {len(y)}")
    if len(x) < 3 or numpy.ptp(x) == 0 or numpy.ptp(y) == 0:
        return Correlation(nan, nan, nan)
    from scipy.stats import spearmanr

    drawn = numpy.random.default_rng(seed).integers(len(x), size=(resamples, len(x)))
    drawn = drawn[(numpy.ptp(x[drawn], axis=1) > 0) & (numpy.ptp(y[drawn], axis=1) > 0)]
    tails = [(1 - confidence) / 2, (1 + confidence) / 2]
    low, high = numpy.quantile(_rank_correlations(x[drawn], y[drawn]), tails)
    return Correlation(float(spearmanr(x, y).statistic), float(low), float(high))


def _rank_correlations(x: Floats, y: Floats) -> Floats:
    """Spearman's correlation ``(R,)`` of the rows of two arrays ``(R, N)``; no row may be constant."""
    from scipy.stats import rankdata

    centered = [of_rows - (x.shape[1] + 1) / 2 for of_rows in (rankdata(x, axis=1), rankdata(y, axis=1))]
    products = (centered[0] * centered[1]).sum(axis=1)
    correlations: Floats = products / numpy.sqrt((centered[0] ** 2).sum(axis=1) * (centered[1] ** 2).sum(axis=1))
    return correlations.clip(-1, 1)
