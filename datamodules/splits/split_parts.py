"""The parts of samples that a split keeps apart: drugs, scaffolds."""

from __future__ import annotations

from typing import Any

import numpy
from numpy.typing import NDArray

from base.errors import InputError
from datamodules.chemistry.molecule_scaffolds import murcko_scaffolds
from datamodules.identity import SampleIdentity
from datamodules.splits.split_settings import SplitSettings
from datamodules.splits.splitters import TEST, Codes
from datamodules.tables.drug_table import DrugTable


def split_sides(split: SplitSettings, parts: int) -> list[int]:
    """The parts of a sample that must be new in a test row, by their place.

    Args:
        split: How to divide.
        parts: Number of parts of a sample.
    """
    return {"first": [0], "second": [1], "both": [0, 1]}[split.part] if parts > 1 else [0]


def parts_kept_apart(
    table: DrugTable, identity: SampleIdentity, rows: NDArray[Any], split: SplitSettings
) -> tuple[NDArray[Any], list[int], bool]:
    """What a cold or scaffold split keeps apart.

    Args:
        table: The table.
        identity: Which rows are the same sample.
        rows: (n,) usable rows.
        split: How to divide.

    Returns:
        The drugs, or scaffolds, of each row, (n, P) int64, where equal numbers are the same one; the columns that must
        be new in a test row; and whether one new one, in either column, is enough.

    Raises:
        InputError: If the samples have no molecules, or a scaffold split does not keep apart a single one of them.
    """
    if table.arrays is not None:
        raise InputError(
            f"data.split: expected random, standard, file or all for input array, got {split.method}, which needs "
            "molecules."
        )
    sides = split_sides(split, identity.parts.shape[1])
    either = identity.unordered and len(sides) == 1
    if either:
        sides = [0, 1]
    if split.method == "cold":
        return identity.parts[rows], sides, either
    scaffolds = scaffold_numbers(table, identity, rows)
    if not identity.unordered and (len(sides) > 1 or sides[0] >= scaffolds.shape[1]):
        raise InputError(
            f"data.split_part: expected first{' or second' if scaffolds.shape[1] > 1 else ''} for a scaffold split, "
            f"got {split.part}."
        )
    return scaffolds, sides, either


def without_tested_drugs(split_of: Codes, parts: NDArray[Any], sides: list[int]) -> Codes:
    """Leave out the rows of training and validation that have a cold drug of a test row on any side.

    An ordered pair that validates may have one on the side that is not cold.

    Args:
        split_of: (n,) the split of each row; -1 for a row that is left out.
        parts: (n, P) int64; equal numbers are the same drug, on any side.
        sides: Columns of `parts` that are cold.

    Returns:
        (n,) the splits, with -1 for the rows that are left out.
    """
    is_test = split_of == TEST
    known = numpy.isin(parts, parts[is_test][:, sides]).any(axis=1)
    return numpy.where(known & ~is_test, -1, split_of)


def scaffold_numbers(table: DrugTable, identity: SampleIdentity, rows: NDArray[Any]) -> NDArray[Any]:
    """The scaffolds of molecules, (n, P) int64; equal numbers are the same scaffold.

    Args:
        table: The table.
        identity: Which molecules are the same drug.
        rows: (n,) usable rows.
    """
    drugs = identity.parts[rows, : len(table.smiles)]
    texts = [text for column in table.smiles for text in column.gather(rows).to_list()]
    _, first, of_cell = numpy.unique(drugs.T.reshape(-1), return_index=True, return_inverse=True)
    scaffolds = murcko_scaffolds([texts[cell] for cell in first], identity.standardise, identity.cache_folder)
    numbers = numpy.unique(numpy.array(scaffolds, dtype=object), return_inverse=True)[1]
    found: NDArray[Any] = numbers.reshape(-1)[of_cell.reshape(-1)].reshape(drugs.T.shape).T.astype(numpy.int64)
    return found
