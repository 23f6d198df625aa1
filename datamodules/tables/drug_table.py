"""The cells that are read from a table, and the rows whose cells cannot be used."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import polars

from base.errors import InputError
from datamodules.tables.class_labels import LabelSettings, read_labels
from datamodules.tables.columns import Columns, InputKind
from datamodules.tables.sample_arrays import SampleArrays
from datamodules.tables.table_chunks import TableChunk


@dataclass(frozen=True)
class DrugTable:
    """A table, or some consecutive rows of one, with the cells that are read from it.

    Attributes:
        frame: Every row and column as given, in order; cells of text files are text.
        columns: The columns that the other attributes come from.
        smiles: A column of text for each of `columns.smiles`, null where a cell is empty.
        labels: Text, null where a cell is empty; None if labels are not read.
        splits: Text, null where a cell is empty; None if splits are not read.
        reasons: Why a row cannot be used, null where it can.
        sequences: Amino-acid letters in capitals, null where a cell is empty; None if samples have no protein.
        input: What one sample is.
        arrays: The array of each row; None if samples are molecules.
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


def make_table(
    chunk: TableChunk,
    columns: Columns,
    path: Path,
    input: InputKind,
    label_settings: LabelSettings = LabelSettings(),  # noqa: B008
) -> DrugTable:
    """Read the cells of rows and find the rows that cannot be used.

    Args:
        chunk: The rows.
        columns: The columns to read.
        path: The file, for messages.
        input: What one sample is.
        label_settings: How labels are read.

    Raises:
        InputError: If a column holds neither text nor numbers, or the labels are measured numbers.
    """
    frame = chunk.frame
    smiles = tuple(cell_texts(frame[name], path) for name in columns.smiles)
    labels = None
    splits = cell_texts(frame[columns.split], path) if columns.split else None
    sequences = cell_texts(frame[columns.sequence], path).str.to_uppercase() if columns.sequence else None
    reason = polars.lit(None, dtype=polars.String)
    if columns.label is not None:
        labels, label_reasons = read_labels(
            cell_texts(frame[columns.label], path), label_settings, f"column {columns.label}", path
        )
        reason = polars.lit(label_reasons)
    if splits is not None:
        missing = polars.when(splits.is_null())
        reason = missing.then(polars.lit(f"missing split in column {columns.split}")).otherwise(reason)
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
    if chunk.ragged:
        reasons = reasons.scatter(list(chunk.ragged), list(chunk.ragged.values()))
    return DrugTable(frame, columns, smiles, labels, splits, reasons, sequences, input)


def cell_texts(column: polars.Series, path: Path) -> polars.Series:
    """Cells as stripped text; empty text becomes null, and a whole float such as 1.0 becomes 1.

    Args:
        column: Text or numbers.
        path: The file of the column, for the message.

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
