"""Which columns of a table are read: those named in the settings, else those found by their usual names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from base.errors import InputError

InputKind = Literal["molecule", "reaction", "pair", "drug_protein", "array"]

MOLECULES_PER_SAMPLE: dict[InputKind, int] = {
    "molecule": 1,
    "reaction": 2,
    "pair": 2,
    "drug_protein": 1,
    "array": 1,
}

_USUAL_SMILES: dict[InputKind, tuple[tuple[str, ...], ...]] = {
    "molecule": (("smiles",), ("x",), ("drug",), ("canonical_smiles",), ("molecule",), ("structure",)),
    "reaction": (("x1", "x2"), ("reactants", "product"), ("reactants", "products"), ("smiles1", "smiles2")),
    "pair": (("x1", "x2"), ("smiles1", "smiles2"), ("drug1", "drug2"), ("smiles_1", "smiles_2")),
    "drug_protein": (("smiles",), ("x1",), ("drug",), ("canonical_smiles",), ("ligand",)),
}
_USUAL_SEQUENCES = ("sequence", "x2", "protein", "target_sequence")
_USUAL_LABELS = ("label", "y", "class", "target", "activity")
_USUAL_IDS = ("id", "name", "id1", "molecule_id")
_USUAL_SPLITS = ("split", "fold", "set")


@dataclass(frozen=True)
class ColumnNames:
    """Names of columns, or of the arrays of an `.npz` file, from the settings.

    Attributes:
        smiles: The SMILES columns, one for molecules, else two; None looks for usual names, here and below.
        label: The column of classes.
        id: The column that names the samples.
        split: The column that assigns rows to splits.
        sequence: The column of amino-acid sequences.
    """

    smiles: Sequence[str] | None = None
    label: str | None = None
    id: str | None = None
    split: str | None = None
    sequence: str | None = None


USUAL_NAMES = ColumnNames()
"""Every column is found by its usual names."""


@dataclass(frozen=True)
class Columns:
    """The columns of a table that are read.

    Attributes:
        smiles: One column for molecules; two for reactions (reactants, product) and for pairs; none for arrays.
        label: The class of a sample; None if it is not read.
        id: The name of a sample; None if the table has none.
        split: `train`, `validation` or `test`; None if it is not read.
        sequence: The amino-acid sequence of a protein; None if samples have no protein.
    """

    smiles: tuple[str, ...]
    label: str | None = None
    id: str | None = None
    split: str | None = None
    sequence: str | None = None


def choose_columns(
    available: Sequence[str],
    path: Path,
    input: InputKind,
    names: ColumnNames = USUAL_NAMES,
    need_labels: bool = True,
    need_splits: bool = False,
) -> Columns:
    """Find the columns to read.

    Args:
        available: Columns of the table.
        path: The file, for messages.
        input: What one sample is; decides how many SMILES columns there are.
        names: Names from the settings.
        need_labels: Whether the label column is read.
        need_splits: Whether the split column is read.

    Raises:
        InputError: If a column is missing.
    """
    listed = ", ".join(available)
    folded = {name.lower().strip(): name for name in reversed(available)}

    def named(setting: str, name: str) -> str:
        if name not in available:
            raise InputError(f"data.{setting}: expected a column of {path} ({listed}), got {name!r}.")
        return name

    def find(setting: str, given: str | None, usual: tuple[str, ...], needed: bool) -> str | None:
        if given is not None:
            return named(setting, given)
        found = next((folded[name] for name in usual if name in folded), None)
        if needed and found is None:
            raise InputError(f"data.{setting}: expected the name of a column of {path}, got null; it has {listed}.")
        return found

    expected = MOLECULES_PER_SAMPLE[input]
    if names.smiles is None:
        group = next((group for group in _USUAL_SMILES[input] if all(name in folded for name in group)), None)
        if group is None:
            raise InputError(
                f"data.smiles_columns: expected the names of {expected} column(s) of {path} for input {input!r}, got "
                f"null; it has {listed}."
            )
        smiles = tuple(folded[name] for name in group)
    else:
        smiles = tuple(named("smiles_columns", name) for name in names.smiles)
        if len(smiles) != expected:
            raise InputError(
                f"data.smiles_columns: expected {expected} column(s) for input {input!r}, got {list(smiles)}."
            )
    return Columns(
        smiles=smiles,
        label=find("label_column", names.label, _USUAL_LABELS, True) if need_labels else None,
        id=find("id_column", names.id, _USUAL_IDS, False),
        split=find("split_column", names.split, _USUAL_SPLITS, True) if need_splits else None,
        sequence=find("sequence_column", names.sequence, _USUAL_SEQUENCES, True) if input == "drug_protein" else None,
    )
