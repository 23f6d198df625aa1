"""Statistics of repeated runs: corrected intervals and tests, ranks over data sets."""

from __future__ import annotations

from math import inf, nan, sqrt
from typing import NamedTuple

import numpy
from numpy.typing import NDArray

Floats = NDArray[numpy.float64]

_FEWEST_DATA_SETS = 2
_FEWEST_METHODS = 3
# Scores are of order one: differences that are equal as decimals lie this close together as binary fractions.
_ROUNDING = 1e-12


class Interval(NamedTuple):
    """A mean and its confidence interval."""

    mean: float
    low: float
    high: float


class Comparison(NamedTuple):
    """The mean of paired differences with its 95 % interval, the two-sided p-value and Cohen's d."""

    mean: float
    low: float
    high: float
    p_value: float
    effect_size: float


class Ranks(NamedTuple):
    """Mean ranks ``(methods,)``, Friedman's p-value, and Nemenyi's p-values ``(methods, methods)`` or None."""

    mean_ranks: Floats
    friedman_p: float
    nemenyi: Floats | None


def corrected_interval(values: Floats, test_share: float, confidence: float = 0.95) -> Interval:
    """Mean of the results on J random splits of one data set, with a corrected t interval.

    The splits share training samples, so the results are not independent and ``variance / J`` is too small. The
    corrected resampled variance is ``(1 / J + test_share) * variance`` (Nadeau and Bengio, 2003, Machine Learning 52),
    with J - 1 degrees of freedom.

    Args:
        values: ``(J,)``, one finite result per split.
        test_share: Test samples per training sample, ``n_test / n_train``; 0 gives the ordinary t interval.
        confidence: Coverage of the interval, between 0 and 1, exclusive.

    Returns:
        Mean and bounds in the unit of `values`. The bounds are NaN for one value and for equal ones, which do not say
        how much others would vary; the mean of none is NaN too.

    Raises:
        ValueError: If an argument has another shape or range.
    """
    check_vector("values", values)
    _check_test_share(test_share)
    check_confidence(confidence)
    mean = float(values.mean()) if len(values) else nan
    if len(values) < 2 or numpy.ptp(values) <= _ROUNDING:
        return Interval(mean, nan, nan)
    from scipy.stats import t

    margin = float(t.ppf((1 + confidence) / 2, len(values) - 1)) * _corrected_error(values, test_share)
    return Interval(mean, mean - margin, mean + margin)


def compare(differences: Floats, test_share: float) -> Comparison:
    """Test whether paired results on J random splits differ, with the corrected resampled t-test.

    See Nadeau and Bengio (2003) and `corrected_interval`. The effect size is Cohen's d of paired differences: their
    mean divided by their standard deviation (with divisor J - 1).

    Args:
        differences: ``(J,)``, results of one method minus those of the other on the same split; finite, of order one.
        test_share: Test samples per training sample, ``n_test / n_train``.

    Returns:
        Mean, 95 % interval, two-sided p-value and effect size. If all differences are equal, the bounds of the interval
        are NaN, since equal scores of small tests do not say how much others would vary. The p-value is then 1 and the
        effect size 0 if the differences are 0; otherwise the p-value is NaN and the effect size infinite with their
        sign. For one difference all but the mean are NaN; for none everything is.

    Raises:
        ValueError: If an argument has another shape or range.
    """
    check_vector("differences", differences)
    mean, low, high = corrected_interval(differences, test_share)
    if len(differences) < 2:
        return Comparison(mean, low, high, nan, nan)
    if numpy.ptp(differences) <= _ROUNDING:
        if abs(mean) <= _ROUNDING:
            return Comparison(mean, nan, nan, 1.0, 0.0)
        return Comparison(mean, nan, nan, nan, inf if mean > 0 else -inf)
    from scipy.stats import t

    statistic = mean / _corrected_error(differences, test_share)
    p_value = 2 * float(t.sf(abs(statistic), len(differences) - 1))
    return Comparison(mean, low, high, p_value, mean / float(differences.std(ddof=1)))


def holm(p_values: Floats) -> Floats:
    """Adjust p-values for multiple tests with Holm's step-down method (Holm, 1979).

    Args:
        p_values: ``(M,)``, between 0 and 1; NaN stands for no test and is not counted.

    Returns:
        ``(M,)``, adjusted p-values; NaN where `p_values` is NaN.

    Raises:
        ValueError: If a p-value is out of range, or the shape is different.
    """
    if p_values.ndim != 1:
        raise ValueError(f"p_values must have shape (M,), got {p_values.shape}")
    tested = ~numpy.isnan(p_values)
    if not bool(((p_values[tested] >= 0) & (p_values[tested] <= 1)).all()):
        raise ValueError(f"p_values must lie in [0, 1] or be NaN, got {p_values.tolist()}")
    adjusted = numpy.full(len(p_values), nan)
    if tested.any():
        from statsmodels.stats.multitest import multipletests

        adjusted[tested] = multipletests(p_values[tested], method="holm")[1]
    return adjusted


def ranks(scores: Floats) -> Ranks:
    """Rank methods over data sets, with Friedman's test and Nemenyi's post-hoc test.

    See Demšar (2006, JMLR 7). The highest score has rank 1; ties share their mean rank.

    Args:
        scores: ``(data sets, methods)``, finite; higher is better.

    Returns:
        Mean ranks ``(methods,)``, the p-value of Friedman's test, and the p-values ``(methods, methods)`` of Nemenyi's
        test. With fewer than two data sets or three methods the latter are NaN and None; Friedman's is NaN if all
        scores are tied.

    Raises:
        ValueError: If `scores` has another shape, or a value that is not finite.
    """
    if scores.ndim != 2 or scores.size == 0:
        raise ValueError(f"scores must have shape (data sets, methods), both above 0, got {scores.shape}")
    if not numpy.isfinite(scores).all():
        raise ValueError(f"scores must be finite, got {int((~numpy.isfinite(scores)).sum())} that are not")
    from scipy.stats import friedmanchisquare, rankdata

    of_data_sets = rankdata(-scores, axis=1)
    mean_ranks: Floats = of_data_sets.mean(axis=0)
    if scores.shape[0] < _FEWEST_DATA_SETS or scores.shape[1] < _FEWEST_METHODS:
        return Ranks(mean_ranks, nan, None)
    from scikit_posthocs import posthoc_nemenyi_friedman

    # Friedman's statistic divides by the spread of the ranks.
    all_tied = bool((numpy.ptp(of_data_sets, axis=1) == 0).all())
    friedman_p = nan if all_tied else float(friedmanchisquare(*scores.T).pvalue)
    return Ranks(mean_ranks, friedman_p, posthoc_nemenyi_friedman(scores).to_numpy())


def _corrected_error(values: Floats, test_share: float) -> float:
    """Corrected resampled standard error of the mean of two or more values."""
    return sqrt((1 / len(values) + test_share) * float(values.var(ddof=1)))


def check_vector(name: str, values: Floats) -> None:
    """Check an argument.

    Args:
        name: Its name.
        values: Expected to be ``(N,)`` and finite.

    Raises:
        ValueError: If it is not.
    """
    if values.ndim != 1:
        raise ValueError(f"{name} must have one dimension, got shape {values.shape}")
    if not numpy.isfinite(values).all():
        raise ValueError(f"{name} must be finite, got {values.tolist()}")


def _check_test_share(test_share: float) -> None:
    if not 0 <= test_share < inf:
        raise ValueError(f"test_share must be n_test / n_train, 0 or more and finite, got {test_share}")


def check_confidence(confidence: float) -> None:
    """Check a coverage of intervals.

    Args:
        confidence: Expected to lie between 0 and 1, exclusive.

    Raises:
        ValueError: If it does not.
    """
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie between 0 and 1, got {confidence}")
