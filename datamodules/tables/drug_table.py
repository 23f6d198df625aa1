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
from datamodules.tables.label_sets import LabelSets, check_lists, label_columns, separated_labels
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
        labels: Text, null where a cell is empty; None if labels are not read. Of several labels a row, all in one text.
        splits: Text, null where a cell is empty; None if splits are not read.
        reasons: Why a row cannot be used, null where it can.
        sequences: Amino-acid letters in capitals, null where a cell is empty; None if samples have no protein.
        input: What one sample is.
        arrays: The array of each row; None if samples are molecules.
        label_sets: Which labels each row has, where a row may have several; else None.
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
    label_sets: LabelSets | None = None
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

    def ids(self, rows: NDArray[Any]) -> list[str]:
        """The ids of samples, empty where there is none.

        Args:
            rows: (n,) rows.
        """
        if self.columns.id is None:
            return [""] * len(rows)
        return ["" if name is None else str(name) for name in self.frame[self.columns.id].gather(rows).to_list()]

    def names(self, rows: NDArray[Any]) -> list[str]:
        """What samples are called: their id if they have one, else their SMILES, for arrays the row from 1 on.

        Args:
            rows: (n,) rows.
        """
        texts = self.texts(rows) if self.smiles else [f"row {row + 1}" for row in rows.tolist()]
        return [name or text for name, text in zip(self.ids(rows), texts, strict=True)]


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
    labels, label_sets = None, None
    splits = split_texts(cell_texts(frame[columns.split], path)) if columns.split else None
    sequences = cell_texts(frame[columns.sequence], path).str.to_uppercase() if columns.sequence else None
    reason = polars.lit(None, dtype=polars.String)
    if columns.label is not None:
        labels, label_sets, label_reasons = read_label_columns(frame, columns.label, path, label_settings)
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
    return DrugTable(
        *(frame, columns, smiles, labels, splits, reasons, sequences, input),
        label_sets=label_sets,
        smiles_names=names,
    )


def read_label_columns(
    frame: polars.DataFrame, label: str | tuple[str, ...], path: Path, settings: LabelSettings, word: str = "column"
) -> tuple[polars.Series, LabelSets | None, polars.Series]:
    """The labels of all rows, and why some of them cannot be used.

    Args:
        frame: The columns of labels, among others.
        label: The column of labels, or one column for each of several.
        path: The file, for messages.
        settings: How labels are read.
        word: What a column is called in messages.

    Returns:
        Labels as text, null where there is none; which labels each row has, None with a single label a row; and
        reasons, null where the labels can be used.

    Raises:
        InputError: If there are several columns for a single label a row, or the labels are measured numbers.
    """
    if settings.kind == "single":
        if not isinstance(label, str):
            raise InputError(
                f"data.label_column: expected one {word} with data.labels single, got {list(label)}; set --data.labels "
                "multi for rows with several labels."
            )
        labels, reasons = read_labels(cell_texts(frame[label], path), settings, f"{word} {label}", path)
        return labels, None, reasons
    if isinstance(label, str):
        cells = cell_texts(frame[label], path)
        sets, reasons = separated_labels(cells, settings, settings.separator, f"{word} {label}")
        check_lists(sets, f"{word} {label}")
    else:
        sets, reasons = label_columns({name: cell_texts(frame[name], path) for name in label}, settings)
    return sets.joined(), sets, reasons


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

    Booleans become True and False, as in the CSV that pandas writes of them.

    Args:
        column: Text, numbers or booleans.
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
    if column.dtype == polars.Boolean:
        return column.replace_strict([False, True], ["False", "True"], return_dtype=polars.String)
    cells = column.cast(polars.String).str.strip_chars(spaces)
    return cells.set(cells == "", None)
