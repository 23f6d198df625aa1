"""Methods to divide samples into training, validation and test."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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
    """Divide each class at random; rows of one group stay together.

    A class of three groups or more is in all three splits, each of which gets the rounded share and at least one
    group; a smaller class stays in training. A group with rows of several classes counts for the one with the fewest
    groups.

    Args:
        classes: (n,) int64 class codes.
        groups: (n,) int64; rows with the same number are the same sample.
        fractions: Shares of training, validation and test.
        seed: Random seed.

    Raises:
        InputError: If the fractions are not three positive numbers that sum to 1.
    """
    check_split_fractions(fractions)
    of_row, class_of = grouped(classes, groups)
    split_of: Codes = numpy.full(len(class_of), TRAIN, dtype=numpy.int64)
    for _, shuffled in shuffled_groups(class_of, seed):
        number = len(shuffled)
        if number >= 3:
            test = min(max(1, round(fractions[2] * number)), number - 2)
            validation = min(max(1, round(fractions[1] * number)), number - 1 - test)
            split_of[shuffled[:test]] = TEST
            split_of[shuffled[test : test + validation]] = VALIDATION
    splits: Codes = split_of[of_row]
    return splits


def standard_split(
    classes: NDArray[Any], groups: NDArray[Any], fractions: Fractions = (0.7, 0.1, 0.2), seed: int = 0
) -> Codes:
    """Balance validation and test to the rarest class; training keeps the long tail (ImDrug, arXiv 2209.07921).

    Of each class of three groups or more, validation and test take as many rows as the rounded shares of the class of
    these with the fewest rows, at least one, and fewer where a class could not keep a group for training; a smaller
    class stays in training. Groups that fit are taken first, in random order. Where none fits, the smallest is taken
    and its other rows are left out (-1), since rows of one group stay together. So are rows of another class in a group
    that is taken; a group with rows of several classes counts for the one with the fewest groups.

    Args:
        classes: (n,) int64 class codes.
        groups: (n,) int64; rows with the same number are the same sample.
        fractions: Shares of training, validation and test of the rarest class.
        seed: Random seed.

    Raises:
        InputError: If the fractions are not three positive numbers that sum to 1.
    """
    check_split_fractions(fractions)
    of_row, class_of = grouped(classes, groups)
    own = class_of[of_row] == classes
    sizes = numpy.bincount(of_row[own], minlength=len(class_of))
    divided = [shuffled for _, shuffled in shuffled_groups(class_of, seed) if len(shuffled) >= 3]
    rarest = min((int(sizes[shuffled].sum()) for shuffled in divided), default=0)
    test, validation = (max(1, round(fractions[place] * rarest)) for place in (TEST, VALIDATION))
    while (taken := _balanced(divided, sizes, test, validation)) is None:
        test, validation = (test - 1, validation) if test > validation else (test, validation - 1)
    split_of: Codes = numpy.full(len(class_of), TRAIN, dtype=numpy.int64)
    kept = numpy.zeros(len(class_of), dtype=numpy.int64)
    for group, place, rows in taken:
        split_of[group], kept[group] = place, rows
    splits: Codes = split_of[of_row]
    splits[(splits != TRAIN) & (~own | (_place_in_group(of_row, own) >= kept[of_row]))] = -1
    return splits


def scaffold_split(
    scaffolds: Sequence[str] | NDArray[Any], fractions: Fractions = (0.7, 0.1, 0.2), seed: int = 0
) -> Codes:
    """Keep rows of one scaffold together; the largest scaffolds go to training.

    Scaffolds are taken from the largest to the smallest, those of one size in random order. Each goes to training if
    that has room for it, else to the split that is furthest below its share. Rows without a ring have the scaffold "",
    which is treated as any other.

    Args:
        scaffolds: (n,) the scaffold of each row, as text or a number.
        fractions: Shares of training, validation and test.
        seed: Random seed of the order among scaffolds of one size.

    Raises:
        InputError: If the fractions are not three positive numbers that sum to 1.
    """
    check_split_fractions(fractions)
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
    drugs: NDArray[Any],
    sides: Sequence[int],
    fractions: Fractions = (0.7, 0.1, 0.2),
    seed: int = 0,
    either: bool = False,
) -> Codes:
    """Divide the drugs and let the rows follow: no cold drug of a validation or test row is in training.

    A row goes to the split of its drugs on the cold sides. Rows whose cold drugs are in different splits, and training
    rows with a drug of another split on any side, are left out (-1).

    Args:
        drugs: (n, P) int64; equal numbers are the same drug, on any side.
        sides: Columns of `drugs` that must be cold.
        fractions: Shares of the drugs in training, validation and test.
        seed: Random seed.
        either: Whether one cold drug, on either side, is enough; then `sides` are all columns, and rows with drugs of
            validation and of test are left out.

    Raises:
        InputError: If the fractions are not three positive numbers that sum to 1.
    """
    check_split_fractions(fractions)
    names, codes = numpy.unique(drugs, return_inverse=True)
    codes = codes.reshape(drugs.shape)
    divided = numpy.unique(codes[:, list(sides)])
    order = numpy.random.default_rng(seed).permutation(len(divided))
    bounds = numpy.round(numpy.cumsum(fractions) * len(divided)).astype(numpy.int64)
    split_of = numpy.full(len(names), TRAIN, dtype=numpy.int64)
    split_of[divided[order]] = numpy.searchsorted(bounds, numpy.arange(len(divided)), side="right").clip(max=TEST)
    placed = split_of[codes]
    if either:
        largest = placed.max(axis=1)
        return numpy.where(((placed == TRAIN) | (placed == largest[:, None])).all(axis=1), largest, -1)
    wanted = placed[:, sides[0]]
    together = (placed[:, list(sides)] == wanted[:, None]).all(axis=1)
    untouched = (wanted != TRAIN) | (placed == TRAIN).all(axis=1)
    return numpy.where(together & untouched, wanted, -1)


def file_split(
    values: Sequence[str],
    test_folds: Sequence[str] | None = None,
    validation_folds: Sequence[str] | None = None,
    folds: Sequence[str] | None = None,
) -> Codes:
    """The split that a column of the table names.

    Args:
        values: `train`, `validation` (or `val`, `valid`, `dev`) or `test` for each row, in upper or lower case; or the
            fold of each row.
        test_folds: The folds of test; None if there are none.
        validation_folds: The folds of validation. The values name splits if both are None; other folds are training.
        folds: Every fold of the table, whose other rows may be unusable; those of the values if None.

    Raises:
        InputError: If a value is not one of these, or a fold is not in the table.
    """
    if test_folds is None and validation_folds is None:
        unknown = next((row for row, value in enumerate(values) if value.lower() not in _FILE_NAMES), None)
        if unknown is None:
            return numpy.array([_FILE_NAMES[value.lower()] for value in values], dtype=numpy.int64)
        found = sorted(set(values), key=lambda value: (len(value), value))
        if not any(fold.lower() in _FILE_NAMES for fold in found):
            raise InputError(
                "data.test_folds and data.validation_folds: expected the folds of test and of validation, since the "
                f"split column holds the folds {', '.join(found[:10])}{', ...' if len(found) > 10 else ''}; got null."
            )
        where = f"{values[unknown]!r} in usable row {unknown + 1}"
        raise InputError(f"data.split_column: expected train, validation or test, got {where}.")
    codes = dict.fromkeys(values if folds is None else folds, TRAIN)
    for setting, folds_of, code in (
        ("data.validation_folds", validation_folds, VALIDATION),
        ("data.test_folds", test_folds, TEST),
    ):
        if folds_of is not None and not folds_of:
            raise InputError(f"{setting}: expected one or more folds of {', '.join(codes)}, got none.")
        for fold in folds_of or ():
            if codes.get(fold) != TRAIN:
                why = "one that is in no row" if fold not in codes else "one of data.validation_folds"
                raise InputError(f"{setting}: expected a fold of {', '.join(codes)}, got {fold!r}, {why}.")
            codes[fold] = code
    return numpy.array([codes[value] for value in values], dtype=numpy.int64)


def check_split_fractions(fractions: Fractions) -> None:
    """Check the shares of the splits.

    Args:
        fractions: Shares of training, validation and test.

    Raises:
        InputError: If they are not three positive numbers that sum to 1.
    """
    if len(fractions) != 3 or not (all(share > 0 for share in fractions) and abs(sum(fractions) - 1) <= 1e-6):
        raise InputError(f"data.split_fractions: expected three positive numbers that sum to 1, got {fractions}.")


def number_groups(groups: NDArray[Any]) -> tuple[NDArray[Any], int]:
    """(n,) the group of each row, numbered by its first row, and the number of groups G."""
    _, first_row, of_row = numpy.unique(groups, return_index=True, return_inverse=True)
    # Groups are numbered by their first row, so that the shuffle does not depend on how they were numbered.
    rank = numpy.empty(len(first_row), dtype=numpy.int64)
    rank[numpy.argsort(first_row)] = numpy.arange(len(first_row))
    return rank[of_row.reshape(-1)], len(first_row)


def grouped(classes: NDArray[Any], groups: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """(n,) the group of each row, as `number_groups` numbers it; and (G,) the class that each group counts for."""
    of_row, number = number_groups(groups)
    pairs = numpy.unique(numpy.stack([of_row, classes]), axis=1)
    groups_of_class = numpy.bincount(pairs[1])
    rarest_first = numpy.lexsort((pairs[1], groups_of_class[pairs[1]], pairs[0]))
    class_of = pairs[1][rarest_first][numpy.searchsorted(pairs[0], numpy.arange(number))]
    return of_row, class_of


def shuffled_groups(class_of: NDArray[Any], seed: int) -> Iterator[tuple[int, NDArray[Any]]]:
    """Each class that groups count for, in order, with its groups in random order."""
    generator = numpy.random.default_rng(seed)
    order = numpy.argsort(class_of, kind="stable")
    codes, starts = numpy.unique(class_of[order], return_index=True)
    for code, own in zip(codes.tolist(), numpy.split(order, starts[1:]), strict=False):
        yield code, own[generator.permutation(len(own))]


def _balanced(
    classes: list[NDArray[Any]], sizes: NDArray[Any], test: int, validation: int
) -> list[tuple[int, int, int]] | None:
    """Groups, their splits and how many of their rows to keep; None if a class would have no group for training."""
    taken = []
    for shuffled in classes:
        free = list(zip(shuffled.tolist(), sizes[shuffled].tolist(), strict=True))
        for place, wanted in ((TEST, test), (VALIDATION, validation)):
            filled = dict(_fill(free, wanted))
            taken += [(group, place, rows) for group, rows in filled.items()]
            free = [one for one in free if one[0] not in filled]
        if not free:
            return None
    return taken


def _fill(groups: list[tuple[int, int]], wanted: int) -> Iterator[tuple[int, int]]:
    """Of groups and their sizes: groups, and how many of their rows to keep, `wanted` in all."""
    rest = []
    for group, size in groups:
        if size <= wanted:
            yield group, size
            wanted -= size
        else:
            rest.append((group, size))
    if wanted and rest:
        yield min(rest, key=lambda one: one[1])[0], wanted


def _place_in_group(of_row: NDArray[Any], own: NDArray[Any]) -> NDArray[Any]:
    """(n,) how many rows of its group and of the group's class precede each row."""
    order = numpy.argsort(of_row, kind="stable")
    before = numpy.cumsum(own[order]) - own[order]
    starts = numpy.searchsorted(of_row[order], of_row[order])
    places = numpy.empty(len(of_row), dtype=numpy.int64)
    places[order] = before - before[starts]
    return places
