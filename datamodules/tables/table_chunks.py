"""Read a table of any length in pieces, as `table_file.read_frame` reads it whole."""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import shutil
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import polars

from base.errors import InputError
from datamodules.tables.table_file import frame_of_lines, is_regular

_BLOCK_BYTES = 1 << 23


@dataclass(frozen=True)
class TableChunk:
    """Consecutive rows of a table.

    Attributes:
        first_row: Number of the first one, from 0.
        frame: The rows.
        ragged: What is wrong with rows of more or fewer fields than the header, by number within the chunk.
    """

    first_row: int
    frame: polars.DataFrame
    ragged: dict[int, str]


class ChunkedTable(ABC):
    """A table that was checked from its first byte to its last, and that is read anew in chunks.

    Attributes:
        path: The file that the user named.
        columns: Names in the order of the file.
        rows: How many there are.
    """

    path: Path
    columns: list[str]
    rows: int

    @abstractmethod
    def chunks(self, size: int, process: int = 0, processes: int = 1) -> Iterator[TableChunk]:
        """The rows in order.

        Args:
            size: Rows of a chunk; the last one may be shorter.
            process: Of every `processes` chunks the one to give.
            processes: How many share the chunks.
        """


def open_table(path: Path, folder: Path) -> ChunkedTable:
    """Check a CSV, TSV or Parquet file, plain or gzip, with the memory of a few megabytes of it.

    Args:
        path: The file.
        folder: For what is unpacked from a gzip file; it must outlive the table.

    Raises:
        InputError: If the file is missing, empty, damaged or no table.
    """
    if not path.is_file():
        raise InputError(f"data.source: there is no file {path}.")
    suffixes = [suffix.lower() for suffix in path.suffixes]
    content = path
    if suffixes and suffixes[-1] == ".gz":
        suffixes.pop()
        content = folder / "unpacked"
        try:
            with gzip.open(path) as packed, content.open("wb") as file:
                shutil.copyfileobj(packed, file, _BLOCK_BYTES)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise InputError(f"data.source: {path} is not a whole gzip file ({error}).") from error
    if not any(block.strip() for block in _line_blocks(content)):
        raise InputError(f"data.source: {path} is empty; expected a header and rows of SMILES.")
    parquet = bool(suffixes) and suffixes[-1] in (".parquet", ".pq")
    table = _ParquetTable(path, content) if parquet else _text_table(path, content)
    if table.rows == 0:
        raise InputError(f"data.source: {path} has a header but no rows.")
    return table


class _ParquetTable(ChunkedTable):
    def __init__(self, path: Path, content: Path) -> None:
        self.path = path
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


def _text_table(path: Path, content: Path) -> ChunkedTable:
    try:
        first_line = _first_line(content)
        delimiter = max(",\t;", key=first_line.count)
        rows, regular = -1, True
        for number, block in enumerate(_line_blocks(content)):
            text = block.decode()
            rows += text.count("\n") + (not text.endswith("\n"))
            regular = regular and is_regular(f"{first_line}\n{text}" if number else text, delimiter)
    except UnicodeDecodeError as error:
        raise InputError(f"data.source: {path} is not a UTF-8 text table ({error}).") from error
    if regular:
        return _RegularText(path, content, first_line, delimiter, rows)
    return _QuotedText(path, content, delimiter)


class _RegularText(ChunkedTable):
    """Lines of cells without quotes, as many in each."""

    def __init__(self, path: Path, content: Path, header: str, delimiter: str, rows: int) -> None:
        self.path, self.rows = path, rows
        self._content, self._header, self._delimiter = content, f"{header}\n".encode(), delimiter
        self.columns = self._read(self._header).columns

    def chunks(self, size: int, process: int = 0, processes: int = 1) -> Iterator[TableChunk]:
        kept, first = self._read(self._header), 0
        for number, block in enumerate(_line_blocks(self._content)):
            kept = polars.concat([kept, self._read(self._header + block if number else block)])
            while len(kept) >= size or (len(kept) and first + len(kept) == self.rows):
                if first // size % processes == process:
                    yield TableChunk(first, kept.head(size), {})
                first += len(kept.head(size))
                kept = kept.slice(size)

    def _read(self, content: bytes) -> polars.DataFrame:
        frame = polars.read_csv(io.BytesIO(content), separator=self._delimiter, quote_char=None, infer_schema=False)
        return frame.fill_null("")


class _QuotedText(ChunkedTable):
    """Any other text table, by Python's reader."""

    def __init__(self, path: Path, content: Path, delimiter: str) -> None:
        self.path, self._content, self._delimiter = path, content, delimiter
        try:
            self._quoted = self._quotes_are_quotes()
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
                yield TableChunk(first, *frame_of_lines(self.columns, own))

    def _lines(self) -> Iterator[list[str]]:
        """The header, and the lines below it that count as rows."""
        lines = self._parse(self._quoted)
        header = next(line for line in lines if line)
        yield header
        yield from (line for line in lines if line or len(header) == 1)

    def _parse(self, quoted: bool) -> Iterator[list[str]]:
        with self._content.open(encoding="utf-8-sig", newline="") as file:
            if quoted:
                yield from csv.reader(file, delimiter=self._delimiter, strict=True)
            else:
                yield from csv.reader(file, delimiter=self._delimiter, quoting=csv.QUOTE_NONE)

    def _quotes_are_quotes(self) -> bool:
        """Whether a quote opens a cell; where it is never closed, in a tab-separated table, it is a letter."""
        if self._delimiter != "\t":
            return True
        try:
            return not any("\n" in cell for line in self._parse(True) for cell in line)
        except csv.Error:
            return False


def _line_blocks(path: Path) -> Iterator[bytes]:
    """The file without its byte-order mark, cut at the ends of lines."""
    with path.open("rb") as file:
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


def _first_line(path: Path) -> str:
    """The first line that is not blank."""
    for block in _line_blocks(path):
        line = block.decode().lstrip("\r\n").split("\n", 1)[0]
        if line:
            return line
    return ""
