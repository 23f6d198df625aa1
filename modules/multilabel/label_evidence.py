"""What tells right labels from wrong ones, where a sample may have several."""

from __future__ import annotations

from typing import Any

import numpy
from numpy.typing import NDArray

from modules.evaluation.applicability import Signals, signals
from modules.neighbors.training_samples import Neighbors


def label_signals(
    calibrated: NDArray[Any], predicted: NDArray[Any], neighbors: Neighbors, by_tanimoto: bool
) -> Signals:
    """Find the signals of predictions: the means of those of the predicted labels.

    That a sample has none of the labels counts as a label of its own, whose probability is that of the least probable
    absence, ``1 - max p``.

    Args:
        calibrated: Calibrated probabilities, (N, L).
        predicted: Which labels are predicted, 1 or 0, integers (N, L).
        neighbors: As of `signals`, with several labels a training sample.
        by_tanimoto: As of `signals`.
    """
    shares = numpy.concatenate([calibrated, 1 - calibrated.max(axis=1, keepdims=True)], axis=1)
    rows, labels = numpy.nonzero(_with_none(predicted))
    agrees = _with_none(neighbors.codes)[rows, :, labels].astype(numpy.int64)
    near = Neighbors(agrees, neighbors.tanimoto[rows], neighbors.cosine[rows])
    found = signals(shares[rows, labels], numpy.ones_like(rows), near, by_tanimoto)
    numbers = numpy.bincount(rows, minlength=len(predicted))
    sums = numpy.zeros((len(predicted), found.values.shape[1]))
    numpy.add.at(sums, rows, found.values)
    # All labels of a sample have the same similarities.
    first = numpy.cumsum(numbers) - numbers
    return Signals(sums / numbers[:, None], found.similarity[first])


def right_shares(predicted: NDArray[Any], labels: NDArray[Any], seen: NDArray[Any]) -> NDArray[Any]:
    """Share of the predicted labels of each sample that it has, float64 (N,).

    A sample for which none is predicted counts as 1 if no label is known that it has, else 0. Where it is not known of
    any predicted label whether the sample has it, the share is NaN, as it is for a sample whose only labels have no
    training samples.

    Args:
        predicted: Which labels are predicted, 1 or 0, integers (N, L).
        labels: 1 the sample has the label, 0 it does not, -1 not known, integers (N, L).
        seen: Which labels have training samples, bool (L,).
    """
    has = labels == 1
    possible = has[:, seen].any(axis=1) | ~has.any(axis=1)
    stated = _with_none(predicted)
    known = stated & numpy.concatenate([labels >= 0, numpy.ones((len(labels), 1), dtype=bool)], axis=1)
    right = (known & _with_none(labels)).sum(axis=1)
    number = known.sum(axis=1)
    return numpy.where(possible & (number > 0), right / numpy.maximum(number, 1), numpy.nan)


def _with_none(labels: NDArray[Any]) -> NDArray[Any]:
    """Which labels there are, and whether there are none, bool (..., L + 1), from integers (..., L)."""
    has = labels == 1
    return numpy.concatenate([has, ~has.any(axis=-1, keepdims=True)], axis=-1)
