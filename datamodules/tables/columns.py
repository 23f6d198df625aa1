"""Which columns of a table are read: those named in the settings, else those found by their usual names."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

from base.errors import InputError
from datamodules.tables.folded_name import folded
from datamodules.tables.missing_header import refuse_data_as_header

InputKind = Literal["molecule", "reaction", "pair", "drug_protein", "array"]


@dataclass(frozen=True)
class InputParts:
    """The cells that one sample is made of.

    Attributes:
        smiles: Names of its SMILES, in order; none for arrays.
        usual_smiles: Names, as `folded` writes them, that tables give to these columns, the most telling first; a
            reaction may be in one column.
        sequence: Name of its amino-acid sequence; None if it has no protein.
    """

    smiles: tuple[str, ...] = ()
    usual_smiles: tuple[tuple[str, ...], ...] = ()
    sequence: str | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all cells, in the order in which a sample is written."""
        return self.smiles if self.sequence is None else (*self.smiles, self.sequence)


INPUTS: dict[InputKind, InputParts] = {
    "molecule": InputParts(
        ("smiles",),
        (("smiles",), ("x",), ("drug",), ("canonical_smiles",), ("molecule",), ("structure",), ("structure_smiles",)),
    ),
    "reaction": InputParts(
        ("reactants", "product"),
        (
            *(("x1", "x2"), ("reactants", "product"), ("reactants", "products"), ("smiles1", "smiles2")),
            *(("rxn_smiles",), ("reaction_smiles",), ("reactionsmiles",), ("rxnsmiles",), ("reaction",), ("rxn",)),
            ("smiles",),
        ),
    ),
    "pair": InputParts(
        ("smiles_1", "smiles_2"),
        (("x1", "x2"), ("smiles1", "smiles2"), ("drug1", "drug2"), ("smiles_1", "smiles_2")),
    ),
    "drug_protein": InputParts(
        ("smiles",), (("smiles",), ("x1",), ("drug",), ("canonical_smiles",), ("ligand",)), "sequence"
    ),
    "array": InputParts(),
}
"""What one sample of each kind of input is."""

_USUAL_SEQUENCES = ("sequence", "x2", "protein", "target_sequence")
_USUAL_LABELS = ("label", "y", "class", "target", "activity")
_USUAL_IDS = (
    *("id", "name", "id1", "molecule_id", "compound_id", "compound_name", "drug_name", "trivial_name"),
    *("cpd_id", "cpd_no", "compound_no", "chembl_id", "molecule_chembl_id"),
)
_USUAL_SPLITS = ("split", "fold", "set")

USUAL_SMILES = frozenset(name for parts in INPUTS.values() for group in parts.usual_smiles for name in group)
"""Usual names of columns of SMILES, as `folded` writes them."""

USUAL_COLUMNS = USUAL_SMILES.union(_USUAL_SEQUENCES, _USUAL_LABELS, _USUAL_IDS, _USUAL_SPLITS)
"""Usual names of columns, as `folded` writes them."""


@dataclass(frozen=True)
class ColumnNames:
    """Names of columns, or of the arrays of an `.npz` file, from the settings.

    Attributes:
        smiles: The SMILES columns, two for reactions and pairs, else one; None looks for usual names, here and below.
        label: The column of classes.
        id: The column that names the samples.
        split: The column that assigns rows to splits.
        sequence: The column of amino-acid sequences.
    """

    smiles: Sequence[str] | None = None
    label: str | Sequence[str] | None = None
    id: str | None = None
    split: str | None = None
    sequence: str | None = None

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> ColumnNames:
        """The names in the settings of a data module; a setting that is missing is None.

        Args:
            settings: Values by option, such as `label_column`.
        """
        names = {field.name: settings.get(option_of_column(field.name)) for field in fields(cls)}
        if isinstance(names["smiles"], str):
            names["smiles"] = [names["smiles"]]
        return cls(**names)

    def has(self, name: str, available: Collection[str]) -> bool:
        """Whether a table has the column, or all columns, of a field; true for None.

        Args:
            name: The field, such as `label`.
            available: Columns of the table.
        """
        value = getattr(self, name)
        return value is None or set([value] if isinstance(value, str) else value) <= set(available)

    def to_settings(self) -> dict[str, Any]:
        """The inverse of `from_settings`."""
        values = {option_of_column(field.name): getattr(self, field.name) for field in fields(self)}
        return {option: list(value) if isinstance(value, tuple) else value for option, value in values.items()}


def option_of_column(name: str) -> str:
    """The setting that names a column: `smiles_columns` of `smiles`, `label_column` of `label`."""
    return f"{name}_columns" if name == "smiles" else f"{name}_column"


USUAL_NAMES = ColumnNames()
"""Every column is found by its usual names."""


@dataclass(frozen=True)
class Columns:
    """The columns of a table that are read.

    Attributes:
        smiles: One column for molecules; two for reactions (reactants, product) and for pairs; none for arrays.
        label: The class of a sample, or one column for each of its labels; None if they are not read.
        id: The name of a sample; None if the table has none.
        split: `train`, `validation` or `test`; None if it is not read.
        sequence: The amino-acid sequence of a protein; None if samples have no protein.
    """

    smiles: tuple[str, ...]
    label: str | tuple[str, ...] | None = None
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
    # A name as it is goes before one that only resembles it.
    exact = {name.lower().strip(): name for name in reversed(available)}
    by_folded = {folded(name): name for name in reversed(available)} | exact

    def named(setting: str, name: str) -> str:
        if name not in available:
            refuse_data_as_header(available, USUAL_COLUMNS, path)
            hint = ""
            if name.startswith("[") and name[1:-1] in available:
                hint = "; a single column is given without brackets"
            raise InputError(f"data.{setting}: expected a column of {path} ({listed}), got {name!r}{hint}.")
        return name

    def find(setting: str, given: str | None, usual: tuple[str, ...], needed: bool) -> str | None:
        if given is not None:
            return named(setting, given)
        # A column that resembles an id names samples; one such as `Activity (%)` may be no label.
        known = exact if needed else by_folded
        found = next((known[name] for name in usual if name in known), None)
        if needed and found is None:
            raise InputError(
                f"data.{setting}: expected the name of a column of {path}, got null; it has {listed}; name one with "
                f"--data.{setting}."
            )
        return found

    def find_labels() -> str | tuple[str, ...] | None:
        if names.label is None or isinstance(names.label, str):
            return find("label_column", names.label, _USUAL_LABELS, True)
        return tuple(named("label_column", name) for name in names.label)

    # A reaction may be written in one column, as reactants>agents>product.
    expected = (1, 2) if input == "reaction" else (len(INPUTS[input].smiles),)
    numbers = " or ".join(map(str, expected))
    if names.smiles is None:
        group = _usual_group(input, by_folded)
        if group is None:
            refuse_data_as_header(available, USUAL_COLUMNS, path)
            raise InputError(
                f"data.smiles_columns: expected the names of {numbers} column(s) of {path} for input {input!r}, "
                f"got null; it has {listed}{_other_input(by_folded)}; name them with --data.smiles_columns."
            )
        smiles = tuple(by_folded[name] for name in group)
    else:
        smiles = tuple(named("smiles_columns", name) for name in names.smiles)
        if len(smiles) not in expected:
            raise InputError(
                f"data.smiles_columns: expected {numbers} column(s) for input {input!r}, got {list(smiles)}."
            )
    has_sequence = INPUTS[input].sequence is not None
    return Columns(
        smiles=smiles,
        label=find_labels() if need_labels else None,
        id=find("id_column", names.id, _USUAL_IDS, False),
        split=find("split_column", names.split, _USUAL_SPLITS, True) if need_splits else None,
        sequence=find("sequence_column", names.sequence, _USUAL_SEQUENCES, True) if has_sequence else None,
    )


def _usual_group(input: InputKind, names: Collection[str]) -> tuple[str, ...] | None:
    """The usual names of the SMILES columns that a table has, of which `names` are all as `folded` writes them."""
    return next((group for group in INPUTS[input].usual_smiles if all(name in names for name in group)), None)


def _other_input(names: Collection[str]) -> str:
    """Which input the columns of a table are usual for; the end of a sentence."""
    kinds = [kind for kind in INPUTS if _usual_group(kind, names) is not None]
    return f", which are usual for --data.input {' or '.join(kinds)}" if kinds else ""
