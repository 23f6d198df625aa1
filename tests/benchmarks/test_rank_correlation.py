"""Spearman's correlation and its interval, against scipy."""

from __future__ import annotations

from math import isnan, nan

import numpy
import pytest
from scipy import stats

from benchmarks.rank_correlation import spearman
from experiments.paired_statistics import Floats


def array(*values: float) -> Floats:
    return numpy.array(values, dtype=numpy.float64)


def test_as_scipy_and_within_its_interval() -> None:
    generator = numpy.random.default_rng(0)
    x = generator.normal(size=40)
    y = x + generator.normal(size=40)
    rho, low, high = spearman(x, y)
    assert rho == stats.spearmanr(x, y).statistic
    assert 0 < low < rho < high < 1


def test_the_interval_is_that_of_scipy_on_each_resample() -> None:
    # Few and tied, so that some resamples are constant.
    x, y = array(1, 1, 2, 4), array(2, 3, 3, 1)
    drawn = numpy.random.default_rng(3).integers(4, size=(1000, 4))
    kept = [rows for rows in drawn if numpy.ptp(x[rows]) > 0 and numpy.ptp(y[rows]) > 0]
    assert 500 < len(kept) < 1000
    expected = numpy.quantile([stats.spearmanr(x[rows], y[rows]).statistic for rows in kept], [0.1, 0.9])
    assert spearman(x, y, confidence=0.8, seed=3, resamples=1000)[1:] == pytest.approx(tuple(expected), abs=1e-12)


def test_covers_the_truth_about_as_often_as_it_says() -> None:
    generator = numpy.random.default_rng(0)
    intervals = [spearman(x, y, resamples=1000) for x, y in generator.normal(size=(100, 2, 50))]
    covered = sum(interval.low <= 0 <= interval.high for interval in intervals) / 100
    assert 0.9 <= covered <= 0.99


def test_a_monotone_relation_is_1() -> None:
    x = numpy.arange(10.0)
    assert spearman(x, numpy.exp(x)) == pytest.approx((1, 1, 1), abs=1e-12)
    assert spearman(x, -x) == pytest.approx((-1, -1, -1), abs=1e-12)


def test_a_seed_is_an_interval() -> None:
    x, y = numpy.random.default_rng(0).normal(size=(2, 30))
    assert spearman(x, y, seed=1) == spearman(x, y, seed=1)
    assert spearman(x, y, seed=1) != spearman(x, y, seed=2)


def test_undefined() -> None:
    for x, y in ((array(1, 2), array(1, 2)), (array(1, 1, 1), array(1, 2, 3)), (array(1, 2, 3), array(2, 2, 2))):
        assert all(isnan(number) for number in spearman(x, y))


def test_wrong_arguments() -> None:
    with pytest.raises(ValueError, match="y must have the length of x, 3, got 2"):
        spearman(array(1, 2, 3), array(1, 2))
    with pytest.raises(ValueError, match="x must be finite"):
        spearman(array(1, 2, nan), array(1, 2, 3))
