"""Recognize a table without a header."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from base.errors import InputError
from datamodules.tables.folded_name import folded


def refuse_data_as_header(columns: Sequence[str], usual: Collection[str], path: Path) -> None:
    """Refuse a table whose first line is a row, where a column that is looked for is not in that line.

    Args:
        columns: The cells of the first line.
        usual: Names of columns, as `folded` writes them, none of which a row holds.
        path: The file, for the message.

    Raises:
        InputError: If no cell is a usual name and one is SMILES of two atoms or more.
    """
    if not any(folded(name) in usual for name in columns) and any(_is_smiles(name) for name in columns):
        raise InputError(
            f"data.source: expected a header in the first line of {path}, got a row ({', '.join(columns)}); add a line "
            "above it that names the columns, such as smiles,label."
        )


def _is_smiles(text: str) -> bool:
    """Whether text is SMILES of two atoms or more, or a reaction of such; the name of a column may be an atom."""
    from rdkit import Chem, rdBase

    with rdBase.BlockLogs():
        molecules = [Chem.MolFromSmiles(part) for part in text.split(">") if part]
    return all(molecules) and sum(molecule.GetNumAtoms() for molecule in molecules) > 1
