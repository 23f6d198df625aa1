"""Read a CSV, TSV or Parquet file, whole or in chunks."""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import IO, cast

import numpy
import polars

from base.errors import InputError

_BLOCK_BYTES = 1 << 23

Open = Callable[[], IO[bytes]]
"""Opens the unpacked content of a file."""


@dataclass(frozen=True)
class TableChunk:
    """Consecutive rows of a table.

    Attributes:
        first_row: Number of the first row, from 0.
        frame: The rows; cells of text files are text.
        ragged: A message for each row with more or fewer fields than the header, by number within the chunk.
    """

    first_row: int
    frame: polars.DataFrame
    ragged: dict[int, str]


class TableFile(ABC):
    """A table that was checked from its first byte to its last, and can be read any number of times.

    Attributes:
        path: The file.
        columns: Names of the columns, in order.
        rows: Number of rows.
    """

    path: Path
    columns: list[str]
    rows: int

    @abstractmethod
    def chunks(self, size: int, process: int = 0, processes: int = 1) -> Iterator[TableChunk]:
        """The rows in order; of every `processes` chunks one.

        Args:
            size: Rows of a chunk; the last one may be shorter.
            process: Number of this process.
            processes: Number of processes that share the chunks.
        """

    def read(self) -> TableChunk:
        """All rows as one chunk."""
        (chunk,) = self.chunks(self.rows)
        return chunk


def open_table(path: Path) -> TableFile:
    """Check a CSV, TSV or Parquet file, plain or gzip, with a few megabytes of it in memory at a time.

    A Parquet file in gzip is unpacked into memory.

    Args:
        path: The file; the delimiter of a text file is the most frequent of comma, tab and semicolon in its header.

    Raises:
        InputError: If the file is missing, empty, damaged or not a table.
    """
    open_content, parquet = _content(path)
    try:
        if not any(block.strip() for block in _line_blocks(open_content)):
            raise InputError(f"data.source: {path} is empty; expected a header and rows.")
        table = _ParquetFile(path, open_content) if parquet else _text_file(path, open_content)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError(f"data.source: {path} is not a complete gzip file ({error}).") from error
    if table.rows == 0:
        raise InputError(f"data.source: expected rows below the header of {path}, got none.")
    return table


def read_header(path: Path) -> list[str]:
    """Names of the columns of a table, without a check of its rows.

    Args:
        path: As in `open_table`.

    Raises:
        InputError: If the file is missing, or damaged at its start.
    """
    open_content, parquet = _content(path)
    try:
        if parquet:
            return _ParquetFile(path, open_content).columns
        line = _first_line(open_content).rstrip("\r")
    except (EOFError, zlib.error, gzip.BadGzipFile, UnicodeDecodeError) as error:
        raise InputError(f"data.source: {path} cannot be read as a table ({error}).") from error
    if not line or '"' in line or "\r" in line:
        # A quoted header may go on in the next line, and an old file may have no line feeds.
        return open_table(path).columns
    return line.split(_delimiter(line))


def _content(path: Path) -> tuple[Open, bool]:
    """How to open a file, and whether it is Parquet."""
    if not path.is_file():
        raise InputError(f"data.source: expected an existing file, got {path}.")
    suffixes = [suffix.lower() for suffix in path.suffixes]
    packed = bool(suffixes) and suffixes[-1] == ".gz"
    kind = suffixes[:-1] if packed else suffixes
    opener = cast(Open, partial(gzip.open, path, "rb") if packed else partial(path.open, "rb"))
    return opener, bool(kind) and kind[-1] in (".parquet", ".pq")


class _ParquetFile(TableFile):
    def __init__(self, path: Path, open_content: Open) -> None:
        self.path = path
        content = path if path.suffix.lower() != ".gz" else io.BytesIO(open_content().read())
        try:
            self._scan = polars.scan_parquet(content, glob=False, hive_partitioning=False)
            self.columns = self._scan.collect_schema().names()
            self.rows = int(self._scan.select(polars.len()).collect().item())
        except polars.exceptions.PolarsError as error:
            raise self._damage(error) from error

    def chunks(self, size: int, process: int = 0, processes: int = 1) -> Iterator[TableChunk]:
        for first in range(process * size, self.rows, size * processes):
            try:
                frame = self._scan.slice(first, size).collect()
            except polars.exceptions.PolarsError as error:
                raise self._damage(error) from error
            yield TableChunk(first, frame, {})

    def _damage(self, error: Exception) -> InputError:
        return InputError(f"data.source: {self.path} cannot be read as Parquet ({error}).")


def _text_file(path: Path, open_content: Open) -> TableFile:
    try:
        first_line = _first_line(open_content)
        delimiter = _delimiter(first_line)
        rows, regular = -1, True
        for number, block in enumerate(_line_blocks(open_content)):
            text = block.decode()
            rows += text.count("\n") + (not text.endswith("\n"))
            regular = regular and _is_regular(f"{first_line}\n{text}" if number else text, delimiter)
    except UnicodeDecodeError as error:
        raise InputError(f"data.source: {path} is not a UTF-8 text table ({error}).") from error
    if regular:
        return _RegularFile(path, open_content, first_line, delimiter, rows)
    return _QuotedFile(path, open_content, delimiter)


class _RegularFile(TableFile):
    """Lines of the same number of cells, none of them quoted."""

    def __init__(self, path: Path, open_content: Open, header: str, delimiter: str, rows: int) -> None:
        self.path, self.rows = path, rows
        self._open, self._header, self._delimiter = open_content, f"{header}\n".encode(), delimiter
        self.columns = self._parse(self._header).columns

    def chunks(self, size: int, process: int = 0, processes: int = 1) -> Iterator[TableChunk]:
        kept, first = self._parse(self._header), 0
        for number, block in enumerate(_line_blocks(self._open)):
            kept = polars.concat([kept, self._parse(self._header + block if number else block)])
            while len(kept) >= size or (len(kept) and first + len(kept) == self.rows):
                if first // size % processes == process:
                    yield TableChunk(first, kept.head(size).rechunk(), {})
                first += len(kept.head(size))
                kept = kept.slice(size)

    def _parse(self, content: bytes) -> polars.DataFrame:
        frame = polars.read_csv(io.BytesIO(content), separator=self._delimiter, quote_char=None, infer_schema=False)
        return frame.fill_null("")


class _QuotedFile(TableFile):
    """Any other text table, by Python's reader."""

    def __init__(self, path: Path, open_content: Open, delimiter: str) -> None:
        self.path, self._open, self._delimiter = path, open_content, delimiter
        try:
            self._quoted = self._has_quoted_cells()
            lines = self._lines()
            self.columns = next(lines)
            self.rows = sum(1 for _ in lines)
        except csv.Error as error:
            raise InputError(f"data.source: {path} cannot be read as a text table ({error}).") from error
        repeated = sorted({name for name in self.columns if self.columns.count(name) > 1})
        if repeated:
            raise InputError(f"data.source: {path} names column {repeated[0]!r} more than once.")

    def chunks(self, size: int, process: int = 0, processes: int = 1) -> Iterator[TableChunk]:
        lines = self._lines()
        next(lines)
        for first in range(0, self.rows, size):
            own = list(islice(lines, size))
            if first // size % processes == process:
                yield TableChunk(first, *_frame_of_lines(self.columns, own))

    def _lines(self) -> Iterator[list[str]]:
        """The header, and the lines below it that count as rows."""
        lines = self._parse(self._quoted)
        header = next(line for line in lines if line)
        yield header
        yield from (line for line in lines if line or len(header) == 1)

    def _parse(self, quoted: bool) -> Iterator[list[str]]:
        with self._open() as file, io.TextIOWrapper(file, encoding="utf-8-sig", newline="") as text:
            if quoted:
                yield from csv.reader(text, delimiter=self._delimiter, strict=True)
            else:
                yield from csv.reader(text, delimiter=self._delimiter, quoting=csv.QUOTE_NONE)

    def _has_quoted_cells(self) -> bool:
        """Whether a quote opens a cell; in a tab-separated table a quote that is never closed is a letter."""
        if self._delimiter != "\t":
            return True
        try:
            return not any("\n" in cell for line in self._parse(True) for cell in line)
        except csv.Error:
            return False


def _frame_of_lines(header: list[str], lines: list[list[str]]) -> tuple[polars.DataFrame, dict[int, str]]:
    """Rows of as many cells as the header, and a message for each line, by number, with more or fewer fields."""
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


def _is_regular(text: str, delimiter: str) -> bool:
    """Whether text with a header has no quoted cell, no blank line, distinct columns and rows of one length."""
    content = numpy.frombuffer(text.rstrip("\n").encode(), dtype=numpy.uint8)
    if '"' in text or "\r" in text or text.startswith("\n") or "\n\n" in text:
        return False
    names = text.split("\n", 1)[0].split(delimiter)
    ends = numpy.append(numpy.flatnonzero(content == ord("\n")), len(content))
    delimiters = numpy.searchsorted(numpy.flatnonzero(content == ord(delimiter)), ends)
    return len(set(names)) == len(names) and bool((numpy.diff(delimiters, prepend=0) == len(names) - 1).all())


def _line_blocks(open_content: Open) -> Iterator[bytes]:
    """The content without its byte-order mark, cut at the ends of lines."""
    with open_content() as file:
        rest = file.read(len(codecs.BOM_UTF8)).removeprefix(codecs.BOM_UTF8)
        while block := file.read(_BLOCK_BYTES):
            end = block.rfind(b"\n") + 1
            if end:
                yield rest + block[:end]
                rest = block[end:]
            else:
                rest += block
    if rest:
        yield rest


def _first_line(open_content: Open) -> str:
    """The first line that is not blank."""
    for block in _line_blocks(open_content):
        line = block.decode().lstrip("\r\n").split("\n", 1)[0]
        if line:
            return line
    return ""


def _delimiter(line: str) -> str:
    return max(",\t;", key=line.count)
