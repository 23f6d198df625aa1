"""Read a table from a file as it is given."""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import zlib
from pathlib import Path

import numpy
import polars

from base.errors import InputError


def read_frame(path: Path) -> tuple[polars.DataFrame, dict[int, str]]:
    """Read every row of a CSV, TSV or Parquet file, plain or gzip.

    Args:
        path: The file; the delimiter of a text file is the commonest of comma, tab and semicolon in its header.

    Returns:
        The rows, cells of text files as text; and for rows with more or fewer fields than the header, by number, a
        sentence that says so.

    Raises:
        InputError: If the file is missing, empty, damaged or no table.
    """
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


def read_header(path: Path) -> list[str] | None:
    """The names of a table's columns, from its first bytes; None where only reading the whole table can tell.

    Args:
        path: A CSV, TSV or Parquet file, plain or gzip.
    """
    suffixes = [suffix.lower() for suffix in path.suffixes]
    packed = suffixes[-1:] == [".gz"]
    if packed:
        suffixes.pop()
    try:
        if suffixes[-1:] in ([".parquet"], [".pq"]):
            return None if packed else list(polars.read_parquet_schema(path))
        with gzip.open(path) if packed else path.open("rb") as file:
            line = next((line for line in file if line.strip(b"\r\n")), b"").decode("utf-8-sig")
        names = next(csv.reader([line], delimiter=max(",\t;", key=line.count), strict=True), None)
    except (OSError, EOFError, ValueError, zlib.error, csv.Error, polars.exceptions.PolarsError):
        return None
    return names or None


def _read_text(content: bytes, path: Path) -> tuple[polars.DataFrame, dict[int, str]]:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"data.source: {path} is not a UTF-8 text table ({error}).") from error
    first_line = text.lstrip("\r\n").split("\n", 1)[0]
    delimiter = max(",\t;", key=first_line.count)
    if is_regular(text, delimiter):
        frame = polars.read_csv(io.BytesIO(text.encode()), separator=delimiter, quote_char=None, infer_schema=False)
        return frame.fill_null(""), {}
    try:
        rows = iter(_split_lines(text, delimiter))
        header = next(row for row in rows if row)
        lines = [row for row in rows if row or len(header) == 1]
    except csv.Error as error:
        raise InputError(f"data.source: {path} cannot be read as a text table ({error}).") from error
    if len(set(header)) < len(header):
        repeated = sorted({name for name in header if header.count(name) > 1})
        raise InputError(f"data.source: {path} names column {repeated[0]!r} more than once.")
    return frame_of_lines(header, lines)


def frame_of_lines(header: list[str], lines: list[list[str]]) -> tuple[polars.DataFrame, dict[int, str]]:
    """Rows of as many cells as the header, and a sentence for each line, by number, that has more or fewer fields.

    Args:
        header: Names of the columns, all different.
        lines: Fields as text.
    """
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


def is_regular(text: str, delimiter: str) -> bool:
    """Whether no cell is quoted, no line is blank, columns have names of their own, and all rows are as long.

    Args:
        text: Begins with the header.
        delimiter: Between the fields.
    """
    content = numpy.frombuffer(text.rstrip("\n").encode(), dtype=numpy.uint8)
    if '"' in text or "\r" in text or text.startswith("\n") or "\n\n" in text:
        return False
    names = text.split("\n", 1)[0].split(delimiter)
    ends = numpy.append(numpy.flatnonzero(content == ord("\n")), len(content))
    delimiters = numpy.searchsorted(numpy.flatnonzero(content == ord(delimiter)), ends)
    return len(set(names)) == len(names) and bool((numpy.diff(delimiters, prepend=0) == len(names) - 1).all())


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
