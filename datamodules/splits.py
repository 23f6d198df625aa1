"""Divide the usable rows of a table into training, validation and test."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Literal

import numpy

from datamodules.drug_table import InputError

SplitName = Literal["train", "validation", "test"]
SplitMethod = Literal["random", "file"]

SPLIT_NAMES: tuple[SplitName, ...] = ("train", "validation", "test")

_FILE_NAMES: dict[str, SplitName] = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "dev": "validation",
    "test": "test",
}


def random_split(
    labels: Sequence[str],
    keys: Sequence[Hashable],
    fractions: tuple[float, float, float] = (0.7, 0.1, 0.2),
    seed: int = 0,
) -> list[SplitName]:
    """Stratify by class; rows with one key stay together.

    A class with three distinct keys or more is in all three splits, each split getting the rounded share and at
    least one; a smaller class stays in training.

    Args:
        labels: One a row.
        keys: What makes two rows the same sample, one a row; rows with one key have one label.
        fractions: Shares of training, validation and test.
        seed: Of the shuffle within each class.

    Returns:
        The split of each row.

    Raises:
        InputError: If the fractions are not three positive numbers that sum to 1.
    """
    if len(fractions) != 3 or min(fractions) <= 0 or abs(sum(fractions) - 1) > 1e-6:
        raise InputError(f"data.split_fractions: expected three positive numbers that sum to 1, got {fractions}.")
    members: dict[str, dict[Hashable, None]] = {}
    for label, key in zip(labels, keys, strict=True):
        members.setdefault(label, {})[key] = None
    generator = numpy.random.default_rng(seed)
    split_of: dict[Hashable, SplitName] = {}
    for label in sorted(members):
        distinct = list(members[label])
        order = generator.permutation(len(distinct))
        validation = test = 0
        if len(distinct) >= 3:
            validation = max(1, round(fractions[1] * len(distinct)))
            test = min(max(1, round(fractions[2] * len(distinct))), len(distinct) - 2)
            validation = min(validation, len(distinct) - 1 - test)
        for rank, position in enumerate(order):
            name: SplitName = "test" if rank < test else "validation" if rank < test + validation else "train"
            split_of[distinct[position]] = name
    return [split_of[key] for key in keys]


def file_split(values: Sequence[str | None]) -> list[SplitName]:
    """The split that a column of the table names.

    Args:
        values: `train`, `validation` (or `val`, `valid`, `dev`) or `test`, one a row, in any case.

    Raises:
        InputError: If a value is none of these.
    """
    splits: list[SplitName] = []
    for row, value in enumerate(values):
        name = _FILE_NAMES.get((value or "").lower())
        if name is None:
            raise InputError(
                f"data.split_column: expected train, validation or test, got {value!r} in usable row {row + 1}."
            )
        splits.append(name)
    return splits
