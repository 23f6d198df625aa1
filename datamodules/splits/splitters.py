"""Methods to divide samples into training, validation and test."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy
from numpy.typing import NDArray

from base.errors import InputError

SplitName = Literal["train", "validation", "test"]
SplitMethod = Literal["random", "standard", "scaffold", "cold", "file", "all"]
SplitPart = Literal["first", "second", "both"]

SPLIT_NAMES: tuple[SplitName, ...] = ("train", "validation", "test")
TRAIN, VALIDATION, TEST = range(3)

_FILE_NAMES = {
    "train": TRAIN,
    "training": TRAIN,
    "val": VALIDATION,
    "valid": VALIDATION,
    "validation": VALIDATION,
    "dev": VALIDATION,
    "test": TEST,
}

Fractions = tuple[float, float, float]
Codes = NDArray[Any]
"""Place of each row's split in `SPLIT_NAMES`, (n,) int64; -1 for a row in no split."""


def random_split(
    classes: NDArray[Any], groups: NDArray[Any], fractions: Fractions = (0.7, 0.1, 0.2), seed: int = 0
) -> Codes:
    """Divide each class at random; rows of one class and one group stay together.

    A class of three groups or more is in all three splits, each of which gets the rounded share and at least one
    group; a smaller class stays in training.

    Args:
        classes: (n,) int64 class codes.
        groups: (n,) int64; rows of a class with the same number are the same sample.
        fractions: Shares of training, validation and test.
        seed: Random seed.

    Raises:
        InputError: If the fractions are not three positive numbers that sum to 1.
    """

    def sizes(number: int) -> tuple[int, int]:
        if number < 3:
            return 0, 0
        validation = max(1, round(fractions[1] * number))
        test = min(max(1, round(fractions[2] * number)), number - 2)
        return min(validation, number - 1 - test), test

    _check_fractions(fractions)
    return _stratified(classes, groups, sizes, seed)


def standard_split(
    classes: NDArray[Any], groups: NDArray[Any], fractions: Fractions = (0.7, 0.1, 0.2), seed: int = 0
) -> Codes:
    """Balance validation and test to the rarest class; training keeps the long tail (ImDrug, arXiv 2209.07921).

    Of each class of three groups or more, validation and test take as many groups as the rounded shares of the rarest
    of these classes, at least one; a smaller class stays in training.

    Args:
        classes: (n,) int64 class codes.
        groups: (n,) int64; rows of a class with the same number are the same sample.
        fractions: Shares of training, validation and test of the rarest class.
        seed: Random seed.

    Raises:
        InputError: If the fractions are not three positive numbers that sum to 1.
    """
    _check_fractions(fractions)
    _, first_row = numpy.unique(_pairs(classes, groups), return_index=True)
    counts = numpy.bincount(classes[first_row])
    rarest = int(min(counts[counts >= 3], default=0))
    test = min(max(1, round(fractions[2] * rarest)), max(rarest - 2, 0))
    validation = min(max(1, round(fractions[1] * rarest)), max(rarest - 1 - test, 0))
    return _stratified(classes, groups, lambda number: (validation, test) if number >= 3 else (0, 0), seed)


def scaffold_split(scaffolds: Sequence[str], fractions: Fractions = (0.7, 0.1, 0.2), seed: int = 0) -> Codes:
    """Keep rows of one scaffold together; the largest scaffolds go to training.

    Scaffolds are taken from the largest to the smallest, those of one size in random order. Each goes to training if
    that has room for it, else to the split that is furthest below its share. Rows without a ring have the scaffold "",
    which is treated as any other.

    Args:
        scaffolds: The scaffold of each row.
        fractions: Shares of training, validation and test.
        seed: Random seed of the order among scaffolds of one size.

    Raises:
        InputError: If the fractions are not three positive numbers that sum to 1.
    """
    _check_fractions(fractions)
    names, of_row, counts = numpy.unique(numpy.array(scaffolds, dtype=object), return_inverse=True, return_counts=True)
    tie_break = numpy.random.default_rng(seed).permutation(len(names))
    room = [fraction * len(of_row) for fraction in fractions]
    split_of = numpy.zeros(len(names), dtype=numpy.int64)
    for number in numpy.lexsort((tie_break, -counts)).tolist():
        count = int(counts[number])
        place = TRAIN if count <= room[TRAIN] + 0.5 else max((VALIDATION, TEST), key=lambda split: room[split])
        room[place] -= count
        split_of[number] = place
    return split_of[of_row]


def cold_split(
    drugs: NDArray[Any], sides: Sequence[int], fractions: Fractions = (0.7, 0.1, 0.2), seed: int = 0
) -> Codes:
    """Divide the drugs and let the rows follow: no cold drug of a validation or test row is in training.

    A row goes to the split of its drugs on the cold sides. Rows whose cold drugs are in different splits, and training
    rows with a drug of another split on any side, are left out (-1).

    Args:
        drugs: (n, P) int64; equal numbers are the same drug, on any side.
        sides: Columns of `drugs` that must be cold.
        fractions: Shares of the drugs in training, validation and test.
        seed: Random seed.

    Raises:
        InputError: If the fractions are not three positive numbers that sum to 1.
    """
    _check_fractions(fractions)
    names, codes = numpy.unique(drugs, return_inverse=True)
    codes = codes.reshape(drugs.shape)
    divided = numpy.unique(codes[:, list(sides)])
    order = numpy.random.default_rng(seed).permutation(len(divided))
    bounds = numpy.round(numpy.cumsum(fractions) * len(divided)).astype(numpy.int64)
    split_of = numpy.full(len(names), TRAIN, dtype=numpy.int64)
    split_of[divided[order]] = numpy.searchsorted(bounds, numpy.arange(len(divided)), side="right").clip(max=TEST)
    placed = split_of[codes]
    wanted = placed[:, sides[0]]
    together = (placed[:, list(sides)] == wanted[:, None]).all(axis=1)
    untouched = (wanted != TRAIN) | (placed == TRAIN).all(axis=1)
    return numpy.where(together & untouched, wanted, -1)


def file_split(values: Sequence[str | None]) -> Codes:
    """The split that a column of the table names.

    Args:
        values: `train`, `validation` (or `val`, `valid`, `dev`) or `test` for each row, in upper or lower case.

    Raises:
        InputError: If a value is not one of these.
    """
    codes = numpy.empty(len(values), dtype=numpy.int64)
    for row, value in enumerate(values):
        code = _FILE_NAMES.get((value or "").lower())
        if code is None:
            raise InputError(
                f"data.split_column: expected train, validation or test, got {value!r} in usable row {row + 1}."
            )
        codes[row] = code
    return codes


def _check_fractions(fractions: Fractions) -> None:
    if len(fractions) != 3 or min(fractions) <= 0 or abs(sum(fractions) - 1) > 1e-6:
        raise InputError(f"data.split_fractions: expected three positive numbers that sum to 1, got {fractions}.")


def _stratified(
    classes: NDArray[Any], groups: NDArray[Any], sizes: Callable[[int], tuple[int, int]], seed: int
) -> Codes:
    """Shuffle the groups of each class; the first go to test, the next to validation, the others to training."""
    if not len(classes):
        return numpy.empty(0, dtype=numpy.int64)
    # Groups are numbered by their first row, so that the shuffle does not depend on how they were numbered.
    pairs, first_row, of_row = numpy.unique(_pairs(classes, groups), return_index=True, return_inverse=True)
    class_of_pair = classes[first_row]
    by_class = numpy.lexsort((first_row, class_of_pair))
    bounds = numpy.searchsorted(class_of_pair[by_class], numpy.arange(int(classes.max()) + 2))
    generator = numpy.random.default_rng(seed)
    split_of = numpy.full(len(pairs), TRAIN, dtype=numpy.int64)
    for start, end in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
        if start == end:
            continue
        shuffled = by_class[start:end][generator.permutation(end - start)]
        validation, test = sizes(end - start)
        split_of[shuffled[:test]] = TEST
        split_of[shuffled[test : test + validation]] = VALIDATION
    return split_of[of_row]


def _pairs(classes: NDArray[Any], groups: NDArray[Any]) -> NDArray[Any]:
    """(n,) int64, a number for each pair of class and group."""
    names, codes = numpy.unique(groups, return_inverse=True)
    pairs: NDArray[Any] = classes * len(names) + codes
    return pairs
