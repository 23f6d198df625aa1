"""Which labels occur together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy
from numpy.typing import NDArray

from reports.analysis.shares import share

LABELS_SHOWN = 60
"""Largest number of labels in a matrix, whose names could not be read otherwise."""


@dataclass(frozen=True)
class LabelPairs:
    """How often S labels occur together, in training and in the predictions for the test samples.

    Attributes:
        shown: int64 (S,), places of the labels, the most frequent in training first.
        training: float64 (S, S), share of the training samples with the label of the row that have the label of the
            column, among those where this is known; NaN where there are none, and on the diagonal.
        predicted: float64 (S, S), the same of the predicted labels of all test samples.
    """

    shown: NDArray[Any]
    training: NDArray[Any]
    predicted: NDArray[Any]


def compare_pairs(training: NDArray[Any], predicted: NDArray[Any], counts: NDArray[Any]) -> LabelPairs:
    """Count the pairs of labels in training and in predictions.

    Args:
        training: 1 the sample has the label, 0 it does not, -1 not known, integers (N, L).
        predicted: bool (n, L), labels that are predicted for the test samples.
        counts: int (L,), training samples with each label; of more than `LABELS_SHOWN` the most frequent are shown.
    """
    shown = numpy.argsort(-counts, kind="stable")[:LABELS_SHOWN]
    return LabelPairs(shown, pair_shares(training[:, shown]), pair_shares(predicted[:, shown].astype(int)))


def pair_shares(labels: NDArray[Any]) -> NDArray[Any]:
    """Share of the samples with one label that have another one, float64 (S, S).

    Args:
        labels: 1 the sample has the label, 0 it does not, -1 not known, integers (n, S).

    Returns:
        The row is the one, the column the other; NaN where no sample with the one is known to have the other or not,
        and on the diagonal.
    """
    has, known = (labels == 1).astype(float), (labels >= 0).astype(float)
    both, either = has.T @ has, has.T @ known
    shares = share(both, either)
    numpy.fill_diagonal(shares, numpy.nan)
    return shares
