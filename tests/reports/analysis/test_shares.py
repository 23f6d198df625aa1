"""Shares of nothing."""

from __future__ import annotations

import numpy

from reports.analysis.shares import share


def test_a_share_of_nothing_is_nan() -> None:
    part, whole = numpy.array([0, 1, 3, 0]), numpy.array([2, 4, 3, 0])
    numpy.testing.assert_array_equal(share(part, whole), [0, 0.25, 1, numpy.nan])
    numpy.testing.assert_array_equal(share(part[None], whole / 2), [[0, 0.5, 2, numpy.nan]])


def test_another_number_says_where_a_share_exists() -> None:
    part, whole, needed = numpy.array([0, 1, 0]), numpy.array([0, 2, 0]), numpy.array([5, 1, 0])
    numpy.testing.assert_array_equal(share(part, whole, needed), [0, 0.5, numpy.nan])
