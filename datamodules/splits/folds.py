"""Folds: every row is left out of training once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy
from numpy.typing import NDArray

from datamodules.splits.splitters import TEST, TRAIN, Codes, grouped, shuffled_groups


@dataclass(frozen=True)
class Folds:
    """The folds of n rows.

    Attributes:
        tested: (n,) int64, the fold that tests each row; -1 for a row that no fold tests.
        touched: (n, P) int64, the folds in which a row must not be trained on.
    """

    tested: NDArray[Any]
    touched: NDArray[Any]

    def codes(self, fold: int) -> Codes:
        """The split of each row when one fold is left out, (n,) int64.

        Args:
            fold: The fold that is left out.

        Returns:
            `TEST` for its rows, -1 for rows that share something with them that the split keeps apart, else `TRAIN`.
        """
        touched = (self.touched == fold).any(axis=1)
        return numpy.where(self.tested == fold, TEST, numpy.where(touched, -1, TRAIN))


def random_folds(classes: NDArray[Any], groups: NDArray[Any], folds: int, seed: int) -> Folds:
    """Deal each class out to the folds at random; rows of one group stay together.

    A group with rows of several classes counts for the one with the fewest groups. The only group of a class is in no
    fold, since a model that was trained without it could not know the class.

    Args:
        classes: (n,) int64 class codes.
        groups: (n,) int64; rows with the same number are the same sample.
        folds: Number of folds.
        seed: Random seed.
    """
    of_row, class_of = grouped(classes, groups)
    groups_of_class = numpy.bincount(numpy.unique(numpy.stack([of_row, classes]), axis=1)[1])
    fold_of = numpy.full(len(class_of), -1, dtype=numpy.int64)
    dealt = 0
    for code, shuffled in shuffled_groups(class_of, seed):
        if groups_of_class[code] > 1:
            fold_of[shuffled] = (dealt + numpy.arange(len(shuffled))) % folds
            # The next class starts where this one ended, or the first folds would get more of the small classes.
            dealt += len(shuffled)
    tested = fold_of[of_row]
    return Folds(tested, tested[:, None])


def scaffold_folds(scaffolds: NDArray[Any], folds: int, seed: int) -> Folds:
    """Give each scaffold to the fold with the fewest rows, the largest scaffolds first.

    Args:
        scaffolds: (n,) int64, the scaffold of each row.
        folds: Number of folds.
        seed: Random seed of the order among scaffolds of one size.
    """
    names, of_row, counts = numpy.unique(scaffolds, return_inverse=True, return_counts=True)
    tie_break = numpy.random.default_rng(seed).permutation(len(names))
    rows = [0] * folds
    fold_of = numpy.zeros(len(names), dtype=numpy.int64)
    for number in numpy.lexsort((tie_break, -counts)).tolist():
        fold_of[number] = rows.index(min(rows))
        rows[fold_of[number]] += int(counts[number])
    tested = fold_of[of_row.reshape(-1)]
    return Folds(tested, tested[:, None])


def cold_folds(parts: NDArray[Any], sides: Sequence[int], folds: int, seed: int, either: bool = False) -> Folds:
    """Deal the cold drugs, or scaffolds, out to the folds and let the rows follow.

    Args:
        parts: (n, P) int64; equal numbers are the same drug, or scaffold, on any side.
        sides: Columns of `parts` that must be cold.
        folds: Number of folds.
        seed: Random seed.
        either: Whether one cold drug, on either side, is enough; the row is then tested in the fold of its first one.

    Returns:
        The folds. A row whose cold drugs are in different folds is tested in none.
    """
    names, codes = numpy.unique(parts, return_inverse=True)
    codes = codes.reshape(parts.shape)
    divided = numpy.unique(codes[:, list(sides)])
    fold_of = numpy.full(len(names), -1, dtype=numpy.int64)
    fold_of[numpy.random.default_rng(seed).permutation(divided)] = numpy.arange(len(divided)) % folds
    touched = fold_of[codes]
    first = touched[:, sides[0]]
    together = either | (touched[:, list(sides)] == first[:, None]).all(axis=1)
    return Folds(numpy.where(together, first, -1), touched)
