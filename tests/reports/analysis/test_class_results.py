"""Precision, recall and F1 of each class against scikit-learn."""

from __future__ import annotations

import numpy
import pytest
from sklearn.metrics import precision_recall_fscore_support

from reports.analysis.class_results import class_results
from reports.analysis.intervals import wilson

CODES = numpy.repeat(numpy.arange(6), (30, 12, 6, 3, 1, 4))
PREDICTED = numpy.where(numpy.random.default_rng(2).random(len(CODES)) < 0.7, CODES, CODES // 2)
TRAINING = numpy.array([50, 20, 10, 5, 5, 5, 5])


def test_it_agrees_with_scikit_learn() -> None:
    total = numpy.bincount(CODES, minlength=7)
    found = class_results(CODES, PREDICTED, total, TRAINING)
    expected = precision_recall_fscore_support(CODES, PREDICTED, labels=range(7), zero_division=numpy.nan)
    assert found.precision.tolist() == pytest.approx(expected[0].tolist(), nan_ok=True)
    assert (found.hits / numpy.maximum(total, 1)).tolist()[:6] == pytest.approx(expected[1].tolist()[:6])
    assert found.f1.tolist()[:6] == pytest.approx(expected[2].tolist()[:6])
    assert numpy.isnan(found.f1[6])
    assert found.evaluated.tolist() == total.tolist()
    assert found.predicted.tolist() == numpy.bincount(PREDICTED, minlength=7).tolist()
    low, high = wilson(found.hits, total)
    numpy.testing.assert_array_equal(found.recall_low, low)
    numpy.testing.assert_array_equal(found.recall_high, high)


def test_samples_stand_for_those_of_their_class_that_were_not_evaluated() -> None:
    # Of the first class a tenth was evaluated: its 2 mistakes are 20 of the split.
    codes, predicted = numpy.array([0, 0, 0, 0, 1, 1]), numpy.array([0, 0, 1, 1, 1, 1])
    found = class_results(codes, predicted, numpy.array([40, 2]), numpy.array([9, 9]))
    assert found.precision.tolist() == pytest.approx([1, 2 / 22])
    assert found.f1.tolist() == pytest.approx([2 * 20 / (40 + 20), 2 * 2 / (2 + 22)])
    assert found.hits.tolist() == [2, 2]


def test_samples_of_classes_that_training_never_saw_do_not_count() -> None:
    codes, predicted = numpy.array([0, 0, 1]), numpy.array([0, 0, 0])
    found = class_results(codes, predicted, numpy.array([2, 1]), numpy.array([9, 0]))
    assert found.precision[0] == 1
    assert found.evaluated.tolist() == [2, 0]


def test_the_trials_of_an_interval_are_samples() -> None:
    # Two samples of five rows each, of which one is found.
    codes, predicted = numpy.zeros(10, dtype=int), numpy.repeat([0, 1], 5)
    found = class_results(codes, predicted, numpy.array([10, 0]), numpy.array([9, 9]), numpy.repeat([3, 8], 5))
    low, high = wilson(numpy.array([1]), numpy.array([2]))
    assert (found.recall_low[0], found.recall_high[0]) == (low[0], high[0])
    assert (found.hits[0], found.evaluated[0]) == (5, 10)
