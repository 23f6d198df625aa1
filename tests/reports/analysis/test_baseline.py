"""The logistic regression against a model: recall, difference and its interval, against loops."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy
import pytest
from sklearn.metrics import recall_score

from reports.analysis.baseline import compare_baseline
from reports.analysis.baseline_fit import FittedBaseline
from reports.analysis.class_scores import ClassScores
from reports.analysis.intervals import paired_interval

FITTED = FittedBaseline("Morgan counts", numpy.array([0, 1, 0, 1, 2, 0]), 9, 9, 1)
CODES = numpy.array([0, 0, 0, 1, 1, 2])
PREDICTED = numpy.array([0, 0, 0, 1, 0, 2])
SCORES = ClassScores(
    ("a", "b", "c", "d"),
    numpy.array([5, 3, 0, 1]),
    numpy.array([3, 2, 1, 0]),
    # The third class has no training sample, and the fourth no test sample.
    numpy.array([1.0, 0.5, math.nan, math.nan]),
    ("head", "middle", "tail", "tail"),
)


def test_accuracies_and_difference_by_hand() -> None:
    found = compare_baseline(FITTED, CODES, PREDICTED, SCORES)
    assert found is not None
    assert found.scores.recall.tolist() == pytest.approx([2 / 3, 1 / 2, math.nan, math.nan], nan_ok=True)
    assert found.accuracies["head_accuracy"].value == pytest.approx(2 / 3)
    assert found.differences["balanced_accuracy"].value == pytest.approx((1 - 2 / 3 + 0.5 - 0.5) / 2)
    ours, other = (recall_score(CODES, one, labels=[0, 1], average="macro") for one in (PREDICTED, FITTED.predicted))
    assert found.differences["balanced_accuracy"].value == pytest.approx(ours - other)
    right = PREDICTED == CODES, FITTED.predicted == CODES
    gain = found.differences["balanced_accuracy"]
    assert (gain.low, gain.high) == paired_interval(CODES, *right, numpy.array([True, True, False, False]))


def test_without_a_counted_class_there_is_no_comparison() -> None:
    unseen = replace(SCORES, recall=numpy.full(4, math.nan))
    assert compare_baseline(FITTED, CODES, PREDICTED, unseen) is None
