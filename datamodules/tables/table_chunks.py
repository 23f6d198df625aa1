"""A table as consecutive chunks of rows, whatever its format."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import polars


@dataclass(frozen=True)
class TableChunk:
    """Consecutive rows of a table.

    Attributes:
        first_row: Number of the first row, from 0.
        frame: The rows; cells of text files are text.
        ragged: A message for each row that has more or fewer fields than the header, or a cell that is no text or too
            long, by number within the chunk.
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
