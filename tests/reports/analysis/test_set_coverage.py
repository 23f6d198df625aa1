"""Coverage of prediction sets, counted by hand."""

from __future__ import annotations

import math

import numpy
import pytest

from modules.evaluation.group_names import Group
from reports.analysis.intervals import wilson
from reports.analysis.set_coverage import set_coverage

GROUPS: tuple[Group, ...] = ("head", "tail", "tail")


def test_coverage_of_classes_and_groups_by_hand() -> None:
    codes = numpy.array([0, 0, 0, 0, 1, 1, 2])
    members = numpy.zeros((7, 3), dtype=bool)
    members[:3, 0] = True
    members[4, [0, 1, 2]] = True
    found = set_coverage(members, codes, numpy.array([40, 2, 1]), numpy.array([9, 9, 9]))
    assert found.of_classes.tolist() == [0.75, 0.5, 0.0]
    share, size = found.by_group(GROUPS)[None]
    # Of class 0, four samples stand for forty.
    assert share.value == pytest.approx((40 * 0.75 + 2 * 0.5) / 43)
    assert share.samples == 7
    assert size == pytest.approx((40 * 3 / 4 + 2 * 3 / 2) / 43)
    tail, size = found.by_group(GROUPS)["tail"]
    assert [tail.value, tail.samples, size] == pytest.approx([1 / 3, 3, 1.0])
    # Wilson's interval for one of three.
    assert [tail.low, tail.high] == pytest.approx([0.0615, 0.7923], abs=1e-4)


def test_classes_without_training_samples_and_groups_without_test_samples_do_not_count() -> None:
    members = numpy.ones((3, 3), dtype=bool)
    found = set_coverage(members, numpy.array([0, 1, 1]), numpy.array([1, 2, 0]), numpy.array([5, 0, 5]))
    assert found.evaluated.tolist() == [1, 0, 0]
    share, size = found.by_group(GROUPS)["tail"]
    assert share.samples == 0
    assert math.isnan(share.value)
    assert math.isnan(size)


def test_rows_of_a_sample_are_one_trial() -> None:
    members, codes = numpy.repeat([[True, False], [False, True]], 4, axis=0), numpy.zeros(8, dtype=int)
    found = set_coverage(members, codes, numpy.array([8, 0]), numpy.array([5, 5]), numpy.repeat([0, 1], 4))
    share, _ = found.by_group(("head", "tail"))[None]
    low, high = wilson(numpy.array([1]), numpy.array([2]))
    assert (share.value, share.low, share.high, share.samples) == (0.5, low[0], high[0], 2)
