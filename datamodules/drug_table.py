"""Read a table of SMILES and labels, and keep track of the rows that cannot be used."""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import polars

InputKind = Literal["molecule", "reaction", "pair"]

MOLECULES_PER_SAMPLE: dict[InputKind, int] = {"molecule": 1, "reaction": 2, "pair": 2}

_SMILES_GUESSES: dict[InputKind, tuple[tuple[str, ...], ...]] = {
    "molecule": (("smiles",), ("x",), ("drug",), ("canonical_smiles",), ("molecule",), ("structure",)),
    "reaction": (("x1", "x2"), ("reactants", "product"), ("reactants", "products"), ("smiles1", "smiles2")),
    "pair": (("x1", "x2"), ("smiles1", "smiles2"), ("drug1", "drug2"), ("smiles_1", "smiles_2")),
}
_LABEL_GUESSES = ("label", "y", "class", "target", "activity")
_ID_GUESSES = ("id", "name", "id1", "molecule_id")
_SPLIT_GUESSES = ("split", "fold", "set")


class InputError(ValueError):
    """What the table, the settings or the files that a user gave got wrong, in one sentence."""


@dataclass(frozen=True)
class Columns:
    """The columns of a table that are read.

    Attributes:
        smiles: One column for molecules; two for reactions (reactants, product) and for pairs.
        label: The class of a sample, where the table has it.
        id: A name for a sample, where the table has it.
        split: `train`, `validation` or `test`, where the table has it.
    """

    smiles: tuple[str, ...]
    label: str | None
    id: str | None
    split: str | None


@dataclass(frozen=True)
class DrugTable:
    """A table as it was given, with the cells that are read from it.

    Attributes:
        frame: Every row and column of the file, in order; text files keep their text.
        columns: Which columns the other attributes come from.
        smiles: One list of SMILES a row, as many as `columns.smiles`; None where the cell is empty.
        labels: One a row, None where missing; empty if the table has no label column.
        splits: One a row, None where missing; empty if no split column is read.
        reasons: One a row: why the row cannot be used, or None.
    """

    frame: polars.DataFrame
    columns: Columns
    smiles: list[tuple[str | None, ...]]
    labels: list[str | None]
    splits: list[str | None]
    reasons: list[str | None]


def read_table(
    path: Path,
    input: InputKind = "molecule",
    smiles_columns: Sequence[str] | None = None,
    label_column: str | None = None,
    id_column: str | None = None,
    split_column: str | None = None,
    need_labels: bool = True,
    need_splits: bool = False,
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

    Raises:
        InputError: If the file is missing, empty or no table, or a column is not there.
    """
    frame, ragged = _read_frame(path)
    columns = _choose_columns(
        frame.columns,
        path,
        input,
        smiles_columns,
        label_column,
        id_column,
        split_column,
        need_labels,
        need_splits,
    )
    smiles = list(zip(*(_texts(frame[name], path) for name in columns.smiles), strict=True))
    labels = _texts(frame[columns.label], path) if columns.label else []
    splits = _texts(frame[columns.split], path) if columns.split else []
    reasons: list[str | None] = []
    for row, cells in enumerate(smiles):
        empty = [name for name, cell in zip(columns.smiles, cells, strict=True) if cell is None]
        if row in ragged:
            reasons.append(ragged[row])
        elif empty:
            reasons.append(f"empty SMILES in column {empty[0]}")
        elif labels and labels[row] is None:
            reasons.append(f"missing label in column {columns.label}")
        else:
            reasons.append(None)
    return DrugTable(frame, columns, smiles, labels, splits, reasons)


def conflicting_duplicates(
    structures: Sequence[object], labels: Sequence[str | None], rows: Sequence[int]
) -> dict[int, str]:
    """Rows of one structure that do not agree on its label.

    Args:
        structures: What makes two rows the same sample.
        labels: One for each structure.
        rows: The row of the table of each.

    Returns:
        Row to reason, for every row of a structure that has more than one label.
    """
    first_row: dict[object, int] = {}
    found: dict[object, set[str | None]] = {}
    for structure, label, row in zip(structures, labels, rows, strict=True):
        first_row.setdefault(structure, row)
        found.setdefault(structure, set()).add(label)
    reasons: dict[int, str] = {}
    for structure, row in zip(structures, rows, strict=True):
        if len(found[structure]) > 1:
            names = ", ".join(sorted(str(label) for label in found[structure]))
            first = first_row[structure] + 1
            reasons[row] = f"conflicting duplicate: the structure of row {first} has the labels {names}"
    return reasons


def class_vocabulary(labels: Sequence[str]) -> tuple[str, ...]:
    """The distinct labels, numbers in numeric order and before names."""

    def order(label: str) -> tuple[int, float, str]:
        try:
            number = float(label)
        except ValueError:
            number = math.nan
        return (0, number, label) if math.isfinite(number) else (1, 0.0, label)

    return tuple(sorted(set(labels), key=order))


def _texts(column: polars.Series, path: Path) -> list[str | None]:
    """Cells as stripped text; empty text is None, and a whole float such as 1.0 reads 1."""
    if column.dtype.is_nested() or column.dtype == polars.Binary:
        raise InputError(
            f"data.source: column {column.name!r} of {path} holds {column.dtype}; expected text or numbers."
        )
    if column.dtype.is_float():
        values = [None if v is None or v != v else str(int(v)) if v.is_integer() else str(v) for v in column.to_list()]
        return list(values)
    cells = column.cast(polars.String).str.strip_chars().to_list()
    return [cell or None for cell in cells]


def _read_frame(path: Path) -> tuple[polars.DataFrame, dict[int, str]]:
    if not path.is_file():
        raise InputError(f"data.source: there is no file {path}.")
    suffixes = [suffix.lower() for suffix in path.suffixes]
    content = path.read_bytes()
    try:
        if suffixes and suffixes[-1] == ".gz":
            content = gzip.decompress(content)
            suffixes.pop()
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"data.source: {path} is not a whole gzip file ({error}).") from error
    if not content.removeprefix(codecs.BOM_UTF8).strip():
        raise InputError(f"data.source: {path} is empty; expected a header and rows of SMILES.")
    if suffixes and suffixes[-1] in (".parquet", ".pq"):
        try:
            frame, ragged = polars.read_parquet(io.BytesIO(content)), dict[int, str]()
        except polars.exceptions.PolarsError as error:
            raise InputError(f"data.source: {path} cannot be read as Parquet ({error}).") from error
    else:
        frame, ragged = _read_text(content, path)
    if frame.height == 0:
        raise InputError(f"data.source: {path} has a header but no rows.")
    return frame, ragged


def _read_text(content: bytes, path: Path) -> tuple[polars.DataFrame, dict[int, str]]:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"data.source: {path} is not a UTF-8 text table ({error}).") from error
    first_line = text.lstrip("\r\n").split("\n", 1)[0]
    delimiter = max(",\t;", key=first_line.count)
    try:
        rows = iter(_split_lines(text, delimiter))
        header = next(row for row in rows if row)
        lines = [row for row in rows if row or len(header) == 1]
    except csv.Error as error:
        raise InputError(f"data.source: {path} cannot be read as a text table ({error}).") from error
    if len(set(header)) < len(header):
        repeated = sorted({name for name in header if header.count(name) > 1})
        raise InputError(f"data.source: {path} names column {repeated[0]!r} more than once.")
    width = len(header)
    ragged = {
        number: f"row has {len(line)} fields where the header has {width}"
        for number, line in enumerate(lines)
        if len(line) != width and (width > 1 or len(line) > 1)
    }
    padded = [(line + [""] * width)[:width] for line in lines]
    values = zip(*padded, strict=True) if padded else [()] * width
    schema = dict.fromkeys(header, polars.String)
    return polars.DataFrame({name: list(cells) for name, cells in zip(header, values, strict=True)}, schema), ragged


def _split_lines(text: str, delimiter: str) -> list[list[str]]:
    """Cells of each line; a quote that is never closed is an error, or in a tab-separated table a letter."""
    try:
        lines = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True))
        if delimiter != "\t" or not any("\n" in cell for line in lines for cell in line):
            return lines
    except csv.Error:
        if delimiter != "\t":
            raise
    return list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, quoting=csv.QUOTE_NONE))


def _choose_columns(
    available: list[str],
    path: Path,
    input: InputKind,
    smiles_columns: Sequence[str] | None,
    label_column: str | None,
    id_column: str | None,
    split_column: str | None,
    need_labels: bool,
    need_splits: bool,
) -> Columns:
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
    )
