"""How many labels prediction sets hold, counted by hand, and their intervals against drawn tests."""

from __future__ import annotations

import numpy
import pytest

from modules.evaluation.group_names import Group
from reports.analysis.label_coverage import label_coverage

GROUPS: tuple[Group, ...] = ("head", "tail", "tail")


def test_each_label_of_a_sample_is_one_to_be_held() -> None:
    labels = numpy.array([[1, 1, 0], [0, 1, -1], [1, 0, 1], [0, 0, 1]])
    members = numpy.array([[1, 0, 1], [0, 1, 1], [1, 1, 0], [1, 1, 1]]) == 1
    found = label_coverage(members, labels, numpy.array([9, 5, 0]), GROUPS, numpy.arange(4))
    assert found.of_labels[:2].tolist() == [1.0, 0.5]
    assert numpy.isnan(found.of_labels[2])
    share, size = found.by_group[None]
    assert (share.value, share.samples) == (0.75, 4)
    # Sets of 2, 2, 2 and 3 labels.
    assert size == 2.25
    share, size = found.by_group["tail"]
    assert (share.value, share.samples, size) == (0.5, 2, 2.0)
    share, size = found.by_group["head"]
    assert (share.value, share.samples, share.high) == (1.0, 2, 1.0)
    # Wilson's interval for two of two.
    assert share.low == pytest.approx(0.3424, abs=1e-4)
    assert found.by_group["middle"][0].samples == 0


def test_labels_that_depend_on_each_other_have_wide_intervals() -> None:
    generator = numpy.random.default_rng(0)
    # All ten labels of a sample are held, or none.
    members = numpy.repeat(generator.random((200, 1)) < 0.8, 10, axis=1)
    labels, training = numpy.ones((200, 10), dtype=int), numpy.full(10, 5)
    share, _ = label_coverage(members, labels, training, ("head",) * 10, numpy.arange(200)).by_group[None]
    assert share.samples == 2_000
    expected = 1.96 * numpy.sqrt(share.value * (1 - share.value) / 200)
    assert share.high - share.value == pytest.approx(expected, rel=0.15)
    assert share.value - share.low == pytest.approx(expected, rel=0.15)
    doubled = label_coverage(members, labels, training, ("head",) * 10, numpy.arange(200) // 2).by_group[None][0]
    assert doubled.low == pytest.approx(share.low, abs=0.03)


def test_without_a_label_nothing_is_held() -> None:
    nothing = numpy.zeros((3, 3), dtype=int)
    found = label_coverage(nothing == 1, nothing, numpy.array([1, 2, 3]), GROUPS, numpy.arange(3))
    assert numpy.isnan(found.of_labels).all()
    assert {share.samples for share, _ in found.by_group.values()} == {0}
