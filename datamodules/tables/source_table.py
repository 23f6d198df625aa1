"""Read the table that `data.source` names, whatever its format."""

from __future__ import annotations

from pathlib import Path

import polars

from base.errors import InputError
from datamodules.tables.array_table import choose_arrays, read_array, read_array_names, read_array_table
from datamodules.tables.class_labels import LabelSettings
from datamodules.tables.columns import USUAL_NAMES, ColumnNames, Columns, InputKind, choose_columns
from datamodules.tables.drug_table import DrugTable, cell_texts, make_table
from datamodules.tables.smiles_cells import Agents
from datamodules.tables.table_file import open_table, read_header

_ROWS_AT_A_TIME = 100_000


def kind_of_file(path: Path, input: InputKind, trained: InputKind | None = None) -> InputKind:
    """What one sample of a file is: an array in an `.npz` file, else what the setting says.

    Args:
        path: The file.
        input: The setting; molecule, its default, does not contradict an `.npz` file.
        trained: What a trained model reads, which replaces the setting.

    Raises:
        InputError: If the file contradicts the setting or the trained model.
    """
    arrays = path.suffix.lower() == ".npz"
    if trained is not None:
        if arrays != (trained == "array"):
            expected = "an .npz file of arrays" if trained == "array" else "a CSV, TSV or Parquet table"
            raise InputError(f"data.source: expected {expected} for a model trained on input {trained}, got {path}.")
        return trained
    if arrays and input not in ("molecule", "array"):
        raise InputError(f"data.input: expected array, since {path} holds arrays; got {input}.")
    if not arrays and input == "array":
        raise InputError(f"data.source: expected an .npz file for input array, got {path}.")
    return "array" if arrays else input


def read_column_names(path: Path, input: InputKind) -> list[str]:
    """The columns of a table, or the arrays of an `.npz` file, from the header alone.

    Args:
        path: The file.
        input: What one sample is.

    Raises:
        InputError: If the file is missing, or damaged at its start.
    """
    return read_array_names(path) if input == "array" else read_header(path)


def read_column(path: Path, input: InputKind, name: str) -> polars.Series:
    """One column of a table, or array of an `.npz` file, as text, null where a cell is empty.

    Args:
        path: The file.
        input: What one sample is.
        name: The column, which the file has.

    Raises:
        InputError: If the file is damaged, or the cells are no text or numbers.
    """
    if input == "array":
        return cell_texts(read_array(path, name), path)
    chunks = open_table(path).chunks(_ROWS_AT_A_TIME)
    return polars.concat([cell_texts(chunk.frame[name], path) for chunk in chunks])


def check_columns(
    path: Path, input: InputKind, names: ColumnNames = USUAL_NAMES, need_labels: bool = True, need_splits: bool = False
) -> Columns:
    """Find the columns to read from the header alone.

    Args:
        path: The file.
        input: What one sample is.
        names: Names from the settings.
        need_labels: Whether the label column is read.
        need_splits: Whether the split column is read.

    Raises:
        InputError: If the file or a column is missing.
    """
    available = read_column_names(path, input)
    if input == "array":
        return choose_arrays(available, path, names, need_labels, need_splits)
    return choose_columns(available, path, input, names, need_labels, need_splits)


def read_table(
    path: Path,
    input: InputKind = "molecule",
    names: ColumnNames = USUAL_NAMES,
    need_labels: bool = True,
    need_splits: bool = False,
    label_settings: LabelSettings = LabelSettings(),  # noqa: B008
    agents: Agents = "apart",
) -> DrugTable:
    """Read a whole table.

    Args:
        path: A table in a form that docs/data.md lists; an `.npz` file where the input is array.
        input: What one sample is.
        names: Names from the settings.
        need_labels: Whether the label column is read.
        need_splits: Whether the split column is read.
        label_settings: How labels are read.
        agents: What becomes of the agents of reactions in one column.

    Raises:
        InputError: If the file is missing, empty, damaged or not a table, a column is missing, or the labels are
            measured numbers.
    """
    if input == "array":
        return read_array_table(path, names, need_labels, need_splits, label_settings)
    table = open_table(path)
    columns = choose_columns(table.columns, path, input, names, need_labels, need_splits)
    return make_table(table.read(), columns, path, input, label_settings, agents)
