"""Read a Parquet file."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator

import polars

from base.errors import InputError
from datamodules.tables.packed_file import UnpackedFile
from datamodules.tables.table_chunks import TableChunk, TableFile

# A text table may start with PAR1, which is a gene, but not go on like this.
_PARQUET = re.compile(rb"PAR1[^\t\n\r -~]")


def is_parquet(file: UnpackedFile) -> bool:
    """Whether the first bytes of a file are those of Parquet.

    Args:
        file: The file.
    """
    return _PARQUET.match(file.head) is not None


class ParquetTable(TableFile):
    """A Parquet file; a packed one is unpacked into memory."""

    def __init__(self, file: UnpackedFile) -> None:
        """Read the columns and the number of rows.

        Args:
            file: The file.

        Raises:
            InputError: If the file is damaged.
        """
        self.path = file.path
        with file.open() as opened:
            content = io.BytesIO(opened.read()) if file.packed else file.path
        try:
            self._scan = polars.scan_parquet(content, glob=False, hive_partitioning=False)
            self.columns = self._scan.collect_schema().names()
            self.rows = int(self._scan.select(polars.len()).collect().item())
        except polars.exceptions.PolarsError as error:
            raise self._damage(error) from error

    def chunks(self, size: int, process: int = 0, processes: int = 1) -> Iterator[TableChunk]:
        """See `TableFile`."""
        for first in range(process * size, self.rows, size * processes):
            try:
                frame = self._scan.slice(first, size).collect()
            except polars.exceptions.PolarsError as error:
                raise self._damage(error) from error
            yield TableChunk(first, frame, {})

    def _damage(self, error: Exception) -> InputError:
        return InputError(f"data.source: {self.path} cannot be read as Parquet ({error}).")
