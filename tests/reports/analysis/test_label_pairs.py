from __future__ import annotations

import numpy
import pytest

from reports.analysis.label_pairs import LABELS_SHOWN, compare_pairs, pair_shares


def test_shares_are_of_samples_with_both_known() -> None:
    labels = numpy.array([[1, 1, 0], [1, 0, -1], [1, -1, 1], [0, 1, -1], [-1, 1, -1]])
    # Of three samples with the first label one of two known ones has the second, and one of two the third.
    expected = [[numpy.nan, 1 / 2, 1 / 2], [1 / 2, numpy.nan, 0], [1, numpy.nan, numpy.nan]]
    assert pair_shares(labels) == pytest.approx(numpy.array(expected), nan_ok=True)


def test_predictions_are_counted_in_the_order_of_training() -> None:
    training, predicted = numpy.array([[0, 1], [0, 1], [1, 1]]), numpy.array([[True, True], [True, False]])
    found = compare_pairs(training, predicted, numpy.array([1, 3]))
    assert found.shown.tolist() == [1, 0]
    assert found.training == pytest.approx(numpy.array([[numpy.nan, 1 / 3], [1, numpy.nan]]), nan_ok=True)
    assert found.predicted == pytest.approx(numpy.array([[numpy.nan, 1], [1 / 2, numpy.nan]]), nan_ok=True)


def test_the_most_frequent_labels_are_shown() -> None:
    labels = numpy.zeros((2, LABELS_SHOWN + 3), dtype=int)
    found = compare_pairs(labels, labels == 1, numpy.arange(LABELS_SHOWN + 3))
    assert found.shown.tolist() == list(range(LABELS_SHOWN + 2, 2, -1))
    assert found.training.shape == (LABELS_SHOWN, LABELS_SHOWN)
