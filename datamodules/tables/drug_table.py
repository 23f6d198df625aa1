"""The cells that are read from a table, and the rows whose cells cannot be used."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars
from numpy.typing import NDArray

from base.errors import InputError
from datamodules.tables.class_labels import LabelSettings, read_labels, split_texts
from datamodules.tables.columns import Columns, InputKind
from datamodules.tables.sample_arrays import SampleArrays
from datamodules.tables.smiles_cells import SPACES, Agents, read_smiles, split_reactions
from datamodules.tables.table_chunks import TableChunk


@dataclass(frozen=True)
class DrugTable:
    """A table, or some consecutive rows of one, with the cells that are read from it.

    Attributes:
        frame: Every row and column as given, in order; cells of text files are text.
        columns: The columns that the other attributes come from.
        smiles: The SMILES of each molecule of a sample, null where there is none.
        smiles_names: What each of them is called in messages: the column, or its part of a reaction.
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
    smiles_names: tuple[str, ...] = ()

    def texts(self, rows: NDArray[Any]) -> list[str]:
        """The SMILES of samples, of several molecules joined by >>; empty for arrays.

        Args:
            rows: (n,) rows.
        """
        if not self.smiles:
            return [""] * len(rows)
        columns = [column.gather(rows).fill_null("").to_list() for column in self.smiles]
        return [">>".join(cells) for cells in zip(*columns, strict=True)]

    def names(self, rows: NDArray[Any]) -> list[str]:
        """What samples are called: their id if the table has one, else their SMILES, for arrays the row from 1 on.

        Args:
            rows: (n,) rows.
        """
        if self.columns.id is not None:
            return [str(name) for name in self.frame[self.columns.id].gather(rows).to_list()]
        return self.texts(rows) if self.smiles else [f"row {row + 1}" for row in rows.tolist()]


def make_table(
    chunk: TableChunk,
    columns: Columns,
    path: Path,
    input: InputKind,
    label_settings: LabelSettings = LabelSettings(),  # noqa: B008
    agents: Agents = "apart",
) -> DrugTable:
    """Read the cells of rows and find the rows that cannot be used.

    Args:
        chunk: The rows.
        columns: The columns to read.
        path: The file, for messages.
        input: What one sample is.
        label_settings: How labels are read.
        agents: What becomes of the agents of reactions in one column.

    Raises:
        InputError: If a column holds neither text nor numbers, or the labels are measured numbers.
    """
    frame = chunk.frame
    molecules, smiles_reasons = _molecules(frame, columns, path, input, agents)
    labels = None
    splits = split_texts(cell_texts(frame[columns.split], path)) if columns.split else None
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
    for own in reversed(smiles_reasons):
        reason = polars.when(own.is_not_null()).then(own).otherwise(reason)
    reasons = polars.select(reason.alias("reason").cast(polars.String))["reason"]
    if len(reasons) < len(frame):
        reasons = reasons.extend_constant(None, len(frame) - len(reasons))
    if chunk.ragged:
        reasons = reasons.scatter(list(chunk.ragged), list(chunk.ragged.values()))
    names, smiles = tuple(molecules), tuple(molecules.values())
    return DrugTable(frame, columns, smiles, labels, splits, reasons, sequences, input, smiles_names=names)


def _molecules(
    frame: polars.DataFrame, columns: Columns, path: Path, input: InputKind, agents: Agents
) -> tuple[dict[str, polars.Series], list[polars.Series]]:
    """The SMILES of each part of a sample by name, and reasons, null where there is one."""
    cells = {name: cell_texts(frame[name], path, SPACES) for name in columns.smiles}
    reasons = []
    if input == "reaction" and len(cells) == 1:
        ((column, texts),) = cells.items()
        reactants, product, own = split_reactions(texts, column, agents)
        reasons.append(own)
        cells = {f"{column} (reactants)": reactants, f"{column} (product)": product}
    molecules = {}
    for name, texts in cells.items():
        molecules[name], own = read_smiles(texts, name)
        reasons.append(own)
    return molecules, reasons


def cell_texts(column: polars.Series, path: Path, spaces: str | None = None) -> polars.Series:
    """Cells as stripped text; empty text becomes null, and a whole float such as 1.0 becomes 1.

    Args:
        column: Text or numbers.
        path: The file of the column, for the message.
        spaces: Characters that are stripped; all white space if None.

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
    cells = column.cast(polars.String).str.strip_chars(spaces)
    return cells.set(cells == "", None)
