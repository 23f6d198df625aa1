"""Samples of which every class keeps some."""

from __future__ import annotations

from typing import Any

import numpy
from numpy.typing import NDArray


def class_quotas(counts: NDArray[Any], most: int) -> NDArray[Any]:
    """How many samples of each class to draw: the same number of each, and all of a class that has fewer.

    Args:
        counts: int (C,), samples of each class.
        most: How many to draw in all. Every class with samples keeps one at least, even where that makes more.

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
    """Places of samples drawn at random, ascending, by `class_quotas`.

    Args:
        codes: int (n,), class of each sample, 0 or more.
        most: How many to draw in all, as far as every class keeps one.
        seed: Of the draw.
    """
    if len(codes) <= most:
        return numpy.arange(len(codes))
    counts = numpy.bincount(codes)
    quotas = class_quotas(counts, most)
    order = numpy.random.default_rng(seed).permutation(len(codes))
    order = order[numpy.argsort(codes[order], kind="stable")]
    place = numpy.arange(len(codes)) - (counts.cumsum() - counts)[codes[order]]
    return numpy.sort(order[place < quotas[codes[order]]])
