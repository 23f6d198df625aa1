"""Random samples: of all alike, and stratified ones in which every class is kept."""

from __future__ import annotations

from typing import Any

import numpy
from numpy.typing import NDArray


def draw_some(number: int, most: int, seed: int = 0) -> NDArray[numpy.int64]:
    """Draw samples at random, all alike.

    Args:
        number: Number of samples.
        most: Largest number to draw.
        seed: Random seed.

    Returns:
        Indices of the drawn samples, ascending.
    """
    if number <= most:
        return numpy.arange(number)
    return numpy.sort(numpy.random.default_rng(seed).choice(number, most, replace=False))


def class_quotas(counts: NDArray[Any], most: int) -> NDArray[Any]:
    """Number of samples to draw from each class: equal numbers, or all samples of a smaller class.

    Args:
        counts: int (C,), number of samples of each class.
        most: Largest total number; every class with samples keeps at least one, even if that exceeds it.

    Returns:
        int64 (C,), at most the counts.
    """
    counts = numpy.asarray(counts, dtype=numpy.int64)
    if counts.sum() <= most:
        return counts
    low, high = 1, int(counts.max())
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if numpy.minimum(counts, middle).sum() <= most else (low, middle - 1)
    quotas: NDArray[Any] = numpy.minimum(counts, low)
    larger = numpy.flatnonzero(counts > low)
    quotas[larger[: max(0, most - int(quotas.sum()))]] += 1
    return quotas


def draw_stratified(codes: NDArray[Any], most: int, seed: int = 0) -> NDArray[Any]:
    """Draw samples at random, with the class sizes of `class_quotas`.

    Args:
        codes: int (n,), class code of each sample.
        most: Largest total number; every class keeps at least one sample.
        seed: Random seed.

    Returns:
        Indices of the drawn samples, ascending.
    """
    if len(codes) <= most:
        return numpy.arange(len(codes))
    counts = numpy.bincount(codes)
    quotas = class_quotas(counts, most)
    order = numpy.random.default_rng(seed).permutation(len(codes))
    order = order[numpy.argsort(codes[order], kind="stable")]
    place = numpy.arange(len(codes)) - (counts.cumsum() - counts)[codes[order]]
    return numpy.sort(order[place < quotas[codes[order]]])
