"""Read a table of SMILES and labels, and keep track of the rows that cannot be used."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import polars

from base.errors import InputError
from datamodules.sample_arrays import SampleArrays
from datamodules.tables.table_file import read_frame

InputKind = Literal["molecule", "reaction", "pair", "drug_protein", "array"]

MOLECULES_PER_SAMPLE: dict[InputKind, int] = {
    "molecule": 1,
    "reaction": 2,
    "pair": 2,
    "drug_protein": 1,
    "array": 1,
}

_SMILES_GUESSES: dict[InputKind, tuple[tuple[str, ...], ...]] = {
    "molecule": (("smiles",), ("x",), ("drug",), ("canonical_smiles",), ("molecule",), ("structure",)),
    "reaction": (("x1", "x2"), ("reactants", "product"), ("reactants", "products"), ("smiles1", "smiles2")),
    "pair": (("x1", "x2"), ("smiles1", "smiles2"), ("drug1", "drug2"), ("smiles_1", "smiles_2")),
    "drug_protein": (("smiles",), ("x1",), ("drug",), ("canonical_smiles",), ("ligand",)),
}
_SEQUENCE_GUESSES = ("sequence", "x2", "protein", "target_sequence")
_LABEL_GUESSES = ("label", "y", "class", "target", "activity")
_ID_GUESSES = ("id", "name", "id1", "molecule_id")
_SPLIT_GUESSES = ("split", "fold", "set")


@dataclass(frozen=True)
class Columns:
    """The columns of a table that are read.

    Attributes:
        smiles: One column for molecules; two for reactions (reactants, product) and for pairs; none for arrays.
        label: The class of a sample, where the table has it.
        id: A name for a sample, where the table has it.
        split: `train`, `validation` or `test`, where the table has it.
        sequence: The amino-acid sequence of a protein, for drugs with their proteins.
    """

    smiles: tuple[str, ...]
    label: str | None
    id: str | None
    split: str | None
    sequence: str | None = None


@dataclass(frozen=True)
class DrugTable:
    """A table as it was given, with the cells that are read from it.

    Attributes:
        frame: Every row and column of the file, in order; text files keep their text.
        columns: Which columns the other attributes come from.
        smiles: A column of text for each of `columns.smiles`, null where a cell is empty.
        labels: Text, null where missing; None if no label column is read.
        splits: Text, null where missing; None if no split column is read.
        reasons: Why a row cannot be used, null where it can.
        sequences: Amino-acid letters in capitals, null where a cell is empty; None if no sequence column is read.
        input: What one sample is.
        arrays: The array of each row; None where samples are molecules.
    """

    frame: polars.DataFrame
    columns: Columns
    smiles: tuple[polars.Series, ...]
    labels: polars.Series | None
    splits: polars.Series | None
    reasons: polars.Series
    sequences: polars.Series | None = None
    input: InputKind = "molecule"
    arrays: SampleArrays | None = None


def read_table(
    path: Path,
    input: InputKind = "molecule",
    smiles_columns: Sequence[str] | None = None,
    label_column: str | None = None,
    id_column: str | None = None,
    split_column: str | None = None,
    need_labels: bool = True,
    need_splits: bool = False,
    sequence_column: str | None = None,
) -> DrugTable:
    """Read a CSV, TSV or Parquet file, plain or gzip.

    Args:
        path: The file; the delimiter of a text file is the commonest of comma, tab and semicolon in its header.
        input: What one sample is; decides how many SMILES columns there are.
        smiles_columns: Names of the SMILES columns; guessed if None.
        label_column: Name of the label column; guessed if None.
        id_column: Name of a column that names the samples; guessed if None.
        split_column: Name of the column that says the split; guessed if None and `need_splits`.
        need_labels: False for tables to predict on: a label column is not looked for.
        need_splits: Whether the split column is read.
        sequence_column: Name of the column of amino-acid sequences; guessed if None and the input is drug_protein.

    Raises:
        InputError: If the file is missing, empty or no table, or a column is not there.
    """
    frame, ragged = read_frame(path)
    columns = choose_columns(
        frame.columns,
        path,
        input,
        smiles_columns,
        label_column,
        id_column,
        split_column,
        need_labels,
        need_splits,
        sequence_column,
    )
    return make_table(frame, ragged, columns, path, input)


def make_table(
    frame: polars.DataFrame, ragged: Mapping[int, str], columns: Columns, path: Path, input: InputKind
) -> DrugTable:
    """Read the cells of rows, and say which rows cannot be used.

    Args:
        frame: Rows as they are given.
        ragged: What is wrong with rows of more or fewer fields than the header, by number.
        columns: Where the cells are.
        path: The file, for messages.
        input: What one sample is.

    Raises:
        InputError: If a column holds neither text nor numbers.
    """
    smiles = tuple(cell_texts(frame[name], path) for name in columns.smiles)
    labels = cell_texts(frame[columns.label], path) if columns.label else None
    splits = cell_texts(frame[columns.split], path) if columns.split else None
    sequences = cell_texts(frame[columns.sequence], path).str.to_uppercase() if columns.sequence else None
    reason = polars.lit(None, dtype=polars.String)
    if labels is not None:
        reason = polars.when(labels.is_null()).then(polars.lit(f"missing label in column {columns.label}"))
    if sequences is not None:
        wrong = polars.when(~sequences.str.contains("^[A-Z]+$"))
        reason = wrong.then(polars.lit(f"other than amino-acid letters in column {columns.sequence}")).otherwise(reason)
        missing = polars.when(sequences.is_null())
        reason = missing.then(polars.lit(f"empty sequence in column {columns.sequence}")).otherwise(reason)
    for name, cells in reversed(list(zip(columns.smiles, smiles, strict=True))):
        reason = polars.when(cells.is_null()).then(polars.lit(f"empty SMILES in column {name}")).otherwise(reason)
    reasons = polars.select(reason.alias("reason").cast(polars.String))["reason"]
    if len(reasons) < len(frame):
        reasons = reasons.extend_constant(None, len(frame) - len(reasons))
    if ragged:
        reasons = reasons.scatter(list(ragged), list(ragged.values()))
    return DrugTable(frame, columns, smiles, labels, splits, reasons, sequences, input)


def class_vocabulary(labels: Sequence[str]) -> tuple[str, ...]:
    """The distinct labels, numbers in numeric order and before names."""

    def order(label: str) -> tuple[int, float, str]:
        try:
            number = float(label)
        except ValueError:
            number = math.nan
        return (0, number, label) if math.isfinite(number) else (1, 0.0, label)

    return tuple(sorted(set(labels), key=order))


def cell_texts(column: polars.Series, path: Path) -> polars.Series:
    """Cells as stripped text; empty text is null, and a whole float such as 1.0 reads 1.

    Args:
        column: Text or numbers.
        path: The file they are from, for the message.

    Raises:
        InputError: If the cells are lists, structures or bytes.
    """
    if column.dtype.is_nested() or column.dtype == polars.Binary:
        raise InputError(
            f"data.source: column {column.name!r} of {path} holds {column.dtype}; expected text or numbers."
        )
    if column.dtype.is_float():
        values = (None if v is None or v != v else str(int(v)) if v.is_integer() else str(v) for v in column.to_list())
        return polars.Series(column.name, list(values), dtype=polars.String)
    cells = column.cast(polars.String).str.strip_chars()
    return cells.set(cells == "", None)


def choose_columns(
    available: list[str],
    path: Path,
    input: InputKind,
    smiles_columns: Sequence[str] | None = None,
    label_column: str | None = None,
    id_column: str | None = None,
    split_column: str | None = None,
    need_labels: bool = True,
    need_splits: bool = False,
    sequence_column: str | None = None,
) -> Columns:
    """Find the columns to read, by the names given or else by guesses; see `read_table`.

    Raises:
        InputError: If one is not there.
    """
    listed = ", ".join(available)
    folded = {name.lower().strip(): name for name in reversed(available)}

    def named(setting: str, name: str) -> str:
        if name not in available:
            raise InputError(f"data.{setting}: there is no column {name!r} in {path}; it has {listed}.")
        return name

    def guess(setting: str, given: str | None, guesses: tuple[str, ...], needed: bool) -> str | None:
        if given is not None:
            return named(setting, given)
        found = next((folded[name] for name in guesses if name in folded), None)
        if needed and found is None:
            raise InputError(f"data.{setting}: say which column it is; {path} has {listed}.")
        return found

    expected = MOLECULES_PER_SAMPLE[input]
    if smiles_columns is None:
        groups = (group for group in _SMILES_GUESSES[input] if all(name in folded for name in group))
        group = next(groups, None)
        if group is None:
            raise InputError(
                f"data.smiles_columns: name the {expected} SMILES column(s) of input {input!r}; {path} has {listed}."
            )
        smiles = tuple(folded[name] for name in group)
    else:
        smiles = tuple(named("smiles_columns", name) for name in smiles_columns)
        if len(smiles) != expected:
            raise InputError(f"data.smiles_columns: input {input!r} takes {expected} column(s), got {list(smiles)}.")
    return Columns(
        smiles=smiles,
        label=guess("label_column", label_column, _LABEL_GUESSES, True) if need_labels else None,
        id=guess("id_column", id_column, _ID_GUESSES, False),
        split=guess("split_column", split_column, _SPLIT_GUESSES, True) if need_splits else None,
        sequence=guess("sequence_column", sequence_column, _SEQUENCE_GUESSES, True)
        if input == "drug_protein"
        else None,
    )
