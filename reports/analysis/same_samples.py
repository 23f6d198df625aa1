"""Which rows are the same sample, and how many different ones there are."""

from __future__ import annotations

from typing import Any

import numpy
from numpy.typing import NDArray


def same_numbers(samples: NDArray[Any] | None, rows: int) -> NDArray[Any]:
    """Numbers of the samples in the order of their first rows, int64 (n,).

    Args:
        samples: int (n,), equal for rows of the same sample; each row is one if None.
        rows: Number of rows n.
    """
    if samples is None:
        return numpy.arange(rows)
    _, first, of_row = numpy.unique(samples, return_index=True, return_inverse=True)
    rank = numpy.argsort(numpy.argsort(first))
    return numpy.asarray(rank[of_row.reshape(-1)])


def different(samples: NDArray[Any]) -> int:
    """Number of different samples among rows.

    Args:
        samples: int (n,), equal for rows of the same sample.
    """
    return len(numpy.unique(samples))


def different_by_class(codes: NDArray[Any], samples: NDArray[Any] | None, num_classes: int) -> NDArray[Any]:
    """Number of different samples of each class, int64 (C,).

    Args:
        codes: int (n,), class codes of the rows.
        samples: As of `same_numbers`.
        num_classes: Number of classes C.
    """
    pairs = numpy.unique(same_numbers(samples, len(codes)) * num_classes + codes)
    return numpy.bincount(pairs % num_classes, minlength=num_classes)
