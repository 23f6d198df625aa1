from __future__ import annotations

from dataclasses import replace

import numpy
import pytest

from reports.analysis.class_scores import (
    ClassScores,
    class_groups,
    easy_tail_classes,
    hard_head_classes,
    imbalance_ratio,
    recall_per_class,
    reliability,
    reliability_by_group,
)

NAN = float("nan")
SCORES = ClassScores(
    names=("a", "b", "c", "d", "e"),
    training=numpy.array([100, 80, 20, 4, 2]),
    test=numpy.array([10, 10, 5, 1, 0]),
    recall=numpy.array([0.9, 0.3, 0.6, 1.0, NAN]),
    groups=("head", "head", "middle", "tail", "tail"),
)


def test_recall_counts_hits_and_leaves_out_absent_classes() -> None:
    recall = recall_per_class(numpy.array([0, 0, 0, 2]), numpy.array([0, 1, 0, 2]), 3)
    assert recall.tolist() == pytest.approx([2 / 3, NAN, 1.0], nan_ok=True)


def test_groups_are_those_of_the_metrics() -> None:
    assert class_groups([5, 500, 50], 0.3, 0.3) == ("tail", "head", "middle")


def test_imbalance_leaves_out_classes_without_samples() -> None:
    assert imbalance_ratio(numpy.array([60, 0, 5])) == 12


def test_easy_tail_and_hard_head_classes_are_named_by_the_means_of_the_other_end() -> None:
    assert easy_tail_classes(SCORES) == [3]
    # The tail's mean is 1, so no head class does better; the worst comes first.
    assert hard_head_classes(SCORES) == [1, 0]
    # A class without an error is not hard, and one without a hit not easy, wherever the other end is.
    perfect = replace(SCORES, recall=numpy.array([1.0, 0.3, 0.6, 1.0, NAN]))
    assert hard_head_classes(perfect) == [1]
    failed = replace(SCORES, recall=numpy.array([0.0, 0.0, 0.6, 0.0, NAN]))
    assert easy_tail_classes(failed) == []


def test_reliability_bins_by_hand() -> None:
    confidence = numpy.array([0.05, 0.92, 0.98, 1.0])
    bins = reliability(confidence, numpy.array([False, True, False, True]), numpy.ones(4))
    assert [one.samples for one in bins] == [1, 3]
    assert bins[1].confidence == pytest.approx((0.92 + 0.98 + 1.0) / 3)
    assert bins[1].correct == pytest.approx(2 / 3)


def test_reliability_weighs_thinned_classes_up() -> None:
    (only,) = reliability(numpy.array([0.55, 0.55]), numpy.array([True, False]), numpy.array([3.0, 1.0]))
    assert only.correct == pytest.approx(0.75)


def test_reliability_goes_by_the_group_of_the_prediction() -> None:
    bins = reliability_by_group(
        numpy.array([0.9, 0.9, 0.2]), numpy.array([0, 1, 1]), numpy.array([0, 0, 1]), numpy.ones(3), ("head", "tail")
    )
    assert [one.samples for one in bins["head"]] == [2]
    assert [one.correct for one in bins["tail"]] == [1.0]
    assert bins["middle"] == []
    assert sum(one.samples for one in bins["all"]) == 3
