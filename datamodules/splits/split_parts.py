"""The parts of samples that a split keeps apart: drugs, scaffolds."""

from __future__ import annotations

from typing import Any

import numpy
from numpy.typing import NDArray

from base.errors import InputError
from datamodules.chemistry.molecule_scaffolds import murcko_scaffolds
from datamodules.identity import SampleIdentity
from datamodules.splits.split_settings import SplitSettings
from datamodules.splits.splitters import SplitPart
from datamodules.tables.drug_table import DrugTable


def split_sides(split: SplitSettings, parts: int) -> list[int]:
    """The parts of a sample that must be new in a test row, by their place.

    Args:
        split: How to divide.
        parts: Number of parts of a sample.
    """
    return {"first": [0], "second": [1], "both": [0, 1]}[split.part] if parts > 1 else [0]


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


def check_scaffold_part(sides: list[int], molecules: int, part: SplitPart) -> None:
    """Check that the part that a scaffold split keeps apart is a molecule.

    Args:
        sides: Places of the parts.
        molecules: Number of molecules of a sample.
        part: The setting.

    Raises:
        InputError: If it is not a single molecule.
    """
    if len(sides) > 1 or sides[0] >= molecules:
        raise InputError(
            f"data.split_part: expected first{' or second' if molecules > 1 else ''} for a scaffold split, got {part}."
        )


def check_has_molecules(table: DrugTable, split: SplitSettings) -> None:
    """Check that the samples have molecules if the split needs them.

    Args:
        table: The table.
        split: How to divide.

    Raises:
        InputError: If they have none.
    """
    if table.arrays is not None and split.method in ("cold", "scaffold"):
        raise InputError(
            f"data.split: expected random, standard, file or all for input array, got {split.method}, which needs "
            "molecules."
        )
