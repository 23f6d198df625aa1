"""Read a text table: lines of cells between delimiters, or the lines of a SMILES file."""

from __future__ import annotations

import csv
import io
import logging
import re
from collections.abc import Callable, Iterable, Iterator
from functools import cache, partial
from itertools import islice
from pathlib import Path, PurePath

import numpy
import polars

from base.errors import InputError
from datamodules.tables.columns import USUAL_COLUMNS
from datamodules.tables.missing_header import refuse_data_as_header
from datamodules.tables.packed_file import UnpackedFile
from datamodules.tables.table_chunks import TableChunk, TableFile
from datamodules.tables.text_content import (
    DELIMITERS,
    LONGEST_LINE,
    WINDOWS,
    TextContent,
    read_marked_text,
    read_windows_text,
)

_log = logging.getLogger(__name__)

_LONGEST_CELL = 131_072
_SMILES_SUFFIXES = (".smi", ".smiles")
_SMILES_COLUMNS = ["smiles", "id"]
_WHITE = re.compile(r"[ \t]+")


def open_text_table(file: UnpackedFile) -> TableFile:
    """Check a text table.

    Args:
        file: The file.

    Raises:
        InputError: If the file is empty, damaged or not a table.
    """
    table, encoding = _check_table(file)
    if encoding == WINDOWS:
        _say_windows(file.path)
    return table


@cache
def _say_windows(path: Path) -> None:
    """Warn once, although a table is opened more than once."""
    _log.warning(
        f"{path} is not UTF-8; it is read as Windows-1252, the encoding of Western European Windows. If letters look "
        "wrong, save it as UTF-8."
    )


def read_text_header(file: UnpackedFile) -> list[str]:
    """Names of the columns of a text table, from its start where that is enough.

    Args:
        file: The file.

    Raises:
        InputError: If the file is damaged at its start.
    """
    content = read_marked_text(file)
    try:
        line = content.first_line()
    except UnicodeDecodeError:
        line = ""
    if _holds_smiles_lines(line, file):
        return _SMILES_COLUMNS
    # A quoted header may go on in the next line.
    return line.split(_delimiter(line, content)) if line and '"' not in line else _check_table(file)[0].columns


def _check_table(file: UnpackedFile) -> tuple[TableFile, str]:
    """The table and the encoding of a file."""
    content = read_marked_text(file)
    try:
        return _open_table(content, file), content.encoding
    except UnicodeDecodeError:
        return _open_table(read_windows_text(file), file), WINDOWS


def _open_table(content: TextContent, file: UnpackedFile) -> TableFile:
    if not any(block.strip() for block in content.line_blocks()):
        raise InputError(f"data.source: {content.path} is empty; expected a header and rows.")
    header = content.first_line()
    delimiter = _delimiter(header, content)
    rows, regular = -1, True
    for number, block in enumerate(content.line_blocks()):
        text = block.decode()
        rows += text.count("\n") + (not text.endswith("\n"))
        regular = regular and _is_regular(f"{header}\n{text}" if number else text, delimiter)
    if _holds_smiles_lines(header, file):
        return _LineTable(content, _smiles_lines)
    if regular:
        return _RegularTable(content, header, delimiter, rows)
    quoted = delimiter != "\t" or _has_quoted_cells(content, delimiter)
    return _LineTable(content, partial(_rows_of_cells, delimiter=delimiter, quoted=quoted))


def _delimiter(header: str, content: TextContent) -> str:
    return content.delimiter or max(DELIMITERS, key=header.count)


def _holds_smiles_lines(first_line: str, file: UnpackedFile) -> bool:
    """Whether a file holds SMILES and names between white space, unless its header names delimited columns."""
    named = re.match(rf"smiles *[{DELIMITERS}]", first_line, re.IGNORECASE)
    return PurePath(file.name).suffix.lower() in _SMILES_SUFFIXES and not named


class _RegularTable(TableFile):
    """Lines of the same number of cells, none of them quoted."""

    def __init__(self, content: TextContent, header: str, delimiter: str, rows: int) -> None:
        self.path, self.rows = content.path, rows
        self._content, self._header, self._delimiter = content, f"{header}\n".encode(), delimiter
        self.columns = self._parse(self._header).columns

    def chunks(self, size: int, process: int = 0, processes: int = 1) -> Iterator[TableChunk]:
        kept, first = self._parse(self._header), 0
        for number, block in enumerate(self._content.line_blocks()):
            kept = polars.concat([kept, self._parse(self._header + block if number else block)])
            while len(kept) >= size or (len(kept) and first + len(kept) == self.rows):
                if first // size % processes == process:
                    yield TableChunk(first, kept.head(size).rechunk(), {})
                first += len(kept.head(size))
                kept = kept.slice(size)

    def _parse(self, content: bytes) -> polars.DataFrame:
        frame = polars.read_csv(io.BytesIO(content), separator=self._delimiter, quote_char=None, infer_schema=False)
        return frame.fill_null("")


class _LineTable(TableFile):
    """Any other text table, by Python's reader."""

    def __init__(self, content: TextContent, split: Callable[[Iterable[str]], Iterator[list[str]]]) -> None:
        self.path, self._content, self._split = content.path, content, split
        try:
            lines = _split_text(self._content, self._split)
            self.columns = next(lines)
            self.rows = sum(1 for _ in lines)
        except csv.Error as error:
            raise InputError(f"data.source: {self.path} cannot be read as a text table ({error}).") from error
        repeated = sorted({name for name in self.columns if self.columns.count(name) > 1})
        if repeated:
            refuse_data_as_header(self.columns, USUAL_COLUMNS, self.path)
            raise InputError(f"data.source: {self.path} names column {repeated[0]!r} more than once.")

    def chunks(self, size: int, process: int = 0, processes: int = 1) -> Iterator[TableChunk]:
        lines = _split_text(self._content, self._split)
        next(lines)
        for first in range(0, self.rows, size):
            own = list(islice(lines, size))
            if first // size % processes == process:
                yield TableChunk(first, *_frame_of_lines(self.columns, own))


def _split_text(content: TextContent, split: Callable[[Iterable[str]], Iterator[list[str]]]) -> Iterator[list[str]]:
    with content.open() as file, io.TextIOWrapper(file, encoding="utf-8", newline="") as text:
        yield from split(text)


def _rows_of_cells(text: Iterable[str], delimiter: str, quoted: bool) -> Iterator[list[str]]:
    """The header, and the lines below it without blank ones, which in a single column are empty cells."""
    # With Python's own limit a long cell would end the table, not its row; what bounds memory is the longest line.
    csv.field_size_limit(LONGEST_LINE)
    plain = partial(csv.reader, quoting=csv.QUOTE_NONE)
    reader = (partial(csv.reader, strict=True) if quoted else plain)(text, delimiter=delimiter)
    header, last = None, 0
    while True:
        try:
            line = next(reader, None)
        except csv.Error as error:
            what = "a quote is not closed" if str(error) == "unexpected end of data" else str(error)
            raise csv.Error(f"line {last + 1}: {what}") from error
        if line is None:
            return
        if reader.line_num > last + 1 and any(len(cell) > _LONGEST_CELL for cell in line):
            raise csv.Error(
                f"the quotes of line {last + 1} hold more than {_LONGEST_CELL} characters; one is not closed"
            )
        last = reader.line_num
        if line or (header is not None and len(header) == 1):
            header = header or line
            yield line


def _has_quoted_cells(content: TextContent, delimiter: str) -> bool:
    """Whether quotes in a tab-separated table open cells; a quote that is never closed is a letter."""
    lines = _split_text(content, partial(_rows_of_cells, delimiter=delimiter, quoted=True))
    try:
        return not any("\n" in cell or "\r" in cell for line in lines for cell in line)
    except csv.Error:
        return False


def _smiles_lines(text: Iterable[str]) -> Iterator[list[str]]:
    """The header of a SMILES file, which has none or its own, and the SMILES and the name, if any, of each line."""
    yield _SMILES_COLUMNS
    lines = (_WHITE.split(line.strip(" \t\r\n"), maxsplit=1) for line in text)
    for number, (smiles, *name) in enumerate(line for line in lines if line != [""]):
        if number or smiles.lower() != "smiles":
            yield [smiles, *(name or [""])]


def _frame_of_lines(header: list[str], lines: list[list[str]]) -> tuple[polars.DataFrame, dict[int, str]]:
    """Rows of as many cells as the header, and a message for each line, by number, that cannot be used."""
    width = len(header)
    padded = [(line + [""] * width)[:width] for line in lines]
    values = zip(*padded, strict=True) if padded else [()] * width
    schema = dict.fromkeys(header, polars.String)
    frame = polars.DataFrame({name: list(cells) for name, cells in zip(header, values, strict=True)}, schema)
    messages = {
        number: f"column {column.name} has {what}"
        for column in frame
        for what, found in (
            ("a NUL byte", column.str.contains("\0", literal=True)),
            (f"more than {_LONGEST_CELL} characters", column.str.len_chars() > _LONGEST_CELL),
        )
        for number in found.arg_true()
    }
    ragged = {
        number: f"row has {len(line)} fields where the header has {width}"
        for number, line in enumerate(lines)
        if len(line) != width and (width > 1 or len(line) > 1)
    }
    return frame, messages | ragged


def _is_regular(text: str, delimiter: str) -> bool:
    """Whether text with a header has no quoted cell, no blank or long line, distinct columns and rows of one length."""
    content = numpy.frombuffer(text.rstrip("\n").encode(), dtype=numpy.uint8)
    if '"' in text or "\r" in text or "\0" in text or text.startswith("\n") or "\n\n" in text:
        return False
    names = text.split("\n", 1)[0].split(delimiter)
    ends = numpy.append(numpy.flatnonzero(content == ord("\n")), len(content))
    delimiters = numpy.searchsorted(numpy.flatnonzero(content == ord(delimiter)), ends)
    return (
        len(set(names)) == len(names)
        and bool((numpy.diff(delimiters, prepend=0) == len(names) - 1).all())
        and bool((numpy.diff(ends, prepend=0) <= _LONGEST_CELL).all())
    )
