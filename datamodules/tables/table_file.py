"""Open a table in a file: text or Parquet, plain or packed."""

from __future__ import annotations

from pathlib import Path

from base.errors import InputError
from datamodules.tables.other_formats import refuse_other_formats
from datamodules.tables.packed_file import unpack
from datamodules.tables.parquet_table import ParquetTable, is_parquet
from datamodules.tables.table_chunks import TableFile
from datamodules.tables.text_table import open_text_table, read_text_header


def open_table(path: Path) -> TableFile:
    """Check a table from its first byte to its last, with a few megabytes of it in memory at a time.

    A packed Parquet file is unpacked into memory.

    Args:
        path: The file, in one of the forms that docs/data.md lists; its first bytes tell the form, and its name only
            whether it is a SMILES file. The delimiter of a text table is the most frequent of comma, tab and semicolon
            in its header, or what a line `sep=;` above it says.

    Raises:
        InputError: If the file is missing, empty, damaged or not a table.
    """
    file = unpack(path)
    refuse_other_formats(file)
    table = ParquetTable(file) if is_parquet(file) else open_text_table(file)
    if table.rows == 0:
        raise InputError(f"data.source: expected rows below the header of {path}, got none.")
    return table


def read_header(path: Path) -> list[str]:
    """Names of the columns of a table, mostly without a check of its rows.

    Args:
        path: As in `open_table`.

    Raises:
        InputError: If the file is missing, or damaged at its start.
    """
    file = unpack(path)
    refuse_other_formats(file)
    return ParquetTable(file).columns if is_parquet(file) else read_text_header(file)
