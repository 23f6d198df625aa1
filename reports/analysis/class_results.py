"""Precision, recall and F1 of each class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy
from numpy.typing import NDArray

from reports.analysis.intervals import wilson
from reports.analysis.same_samples import different_by_class, same_numbers
from reports.analysis.shares import share


@dataclass(frozen=True)
class ClassResults:
    """Results of C classes on n evaluated test rows; rows of classes without training samples do not count.

    Attributes:
        evaluated: int64 (C,), evaluated test rows of each class.
        hits: int64 (C,), how many of them are predicted correctly.
        predicted: int64 (C,), evaluated rows that are predicted as the class.
        recall_low: float64 (C,), lower bound of Wilson's 95 % interval of the recall, whose trials are the different
            samples of the class; NaN without samples.
        recall_high: float64 (C,), upper bound.
        precision: float64 (C,), share of the samples predicted as a class that are of it; NaN if there are none.
        f1: float64 (C,), 2 hits / (samples + samples predicted as the class); NaN without samples.
    """

    evaluated: NDArray[Any]
    hits: NDArray[Any]
    predicted: NDArray[Any]
    recall_low: NDArray[Any]
    recall_high: NDArray[Any]
    precision: NDArray[Any]
    f1: NDArray[Any]


def class_results(
    codes: NDArray[Any],
    predicted: NDArray[Any],
    total: NDArray[Any],
    training: NDArray[Any],
    samples: NDArray[Any] | None = None,
) -> ClassResults:
    """Count the predictions of each class.

    Args:
        codes: int (n,), class codes of the evaluated rows.
        predicted: int (n,), predicted class codes.
        total: int (C,), test rows of each class. Where only a part of them was evaluated, each stands for as many as
            its class has more, so that precision and F1 are those of the whole split.
        training: int (C,), training samples of each class.
        samples: int (n,), equal for rows of the same sample; each row is one if None.
    """
    known = training[codes] > 0
    trials = different_by_class(codes[known], same_numbers(samples, len(codes))[known], len(total))
    codes, predicted, size = codes[known], predicted[known], len(total)
    evaluated = numpy.bincount(codes, minlength=size)
    stands_for = (total / numpy.maximum(evaluated, 1))[codes]
    right = codes == predicted
    hits = numpy.bincount(codes[right], minlength=size)
    low, high = wilson(hits / numpy.maximum(evaluated, 1) * trials, trials)
    true_ones, taken_for, found = (
        numpy.bincount(of[chosen], stands_for[chosen], minlength=size)
        for of, chosen in ((codes, slice(None)), (predicted, slice(None)), (codes, right))
    )
    return ClassResults(
        evaluated,
        hits,
        numpy.bincount(predicted, minlength=size),
        low,
        high,
        share(found, taken_for),
        share(2 * found, true_ones + taken_for, evaluated),
    )
