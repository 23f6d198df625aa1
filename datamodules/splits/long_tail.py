"""Thin classes to a long tail of a given imbalance ratio."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import numpy
from numpy.typing import NDArray

from base.ranges import check_range

_log = logging.getLogger("tailmol")


def long_tail_counts(counts: Sequence[int], imbalance: float) -> list[int]:
    """Number of samples that each class keeps, by the exponential profile of Cui et al. 2019 (arXiv 1901.05555).

    Classes are ranked by size, those of one size by code. With n samples in the largest of C classes that have any,
    the class of rank r keeps `round(n * imbalance ** (-r / (C - 1)))`, at least one and at most all that it has.

    Args:
        counts: Number of samples of each class; a class without samples has no rank.
        imbalance: Imbalance ratio, of the largest to the smallest class, 1 or more.

    Raises:
        InputError: If `imbalance` is not a finite number of 1 or more.
    """
    check_range("data.imbalance", imbalance, 1)
    ranked = sorted((code for code, count in enumerate(counts) if count), key=lambda code: -counts[code])
    kept = list(counts)
    for rank, code in enumerate(ranked[1:], 1):
        wanted = round(counts[ranked[0]] * imbalance ** (-rank / (len(ranked) - 1)))
        kept[code] = min(counts[code], max(1, wanted))
    return kept


def thin_to_long_tail(codes: NDArray[Any], imbalance: float, seed: int = 0) -> NDArray[Any]:
    """Choose the samples to keep, at random within each class.

    Args:
        codes: (N,) int64 class codes.
        imbalance: See `long_tail_counts`.
        seed: Random seed.

    Returns:
        int64 places among the samples, ascending.

    Raises:
        InputError: If `imbalance` is not a finite number of 1 or more.
    """
    counts = numpy.bincount(codes)
    generator = numpy.random.default_rng(seed)
    members = numpy.split(numpy.argsort(codes, kind="stable"), counts.cumsum()[:-1])
    wanted = long_tail_counts(counts.tolist(), imbalance)
    kept = [generator.permutation(own)[:number] for own, number in zip(members, wanted, strict=True)]
    return numpy.sort(numpy.concatenate(kept)).astype(numpy.int64)


def thinned(rows: NDArray[Any], codes: NDArray[Any], imbalance: float, seed: int) -> NDArray[Any]:
    """The rows that `thin_to_long_tail` keeps, with a log message of how many.

    Args:
        rows: (n,) rows of the table.
        codes: Class code of each row of the table, int64.
        imbalance: Imbalance ratio.
        seed: Random seed.
    """
    kept: NDArray[Any] = rows[thin_to_long_tail(codes[rows], imbalance, seed)]
    _log.info(f"data.imbalance keeps {len(kept):,} of {len(rows):,} training samples.")
    return kept
