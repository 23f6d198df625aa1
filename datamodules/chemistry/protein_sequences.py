"""Amino-acid sequences as flat integer codes."""

from __future__ import annotations

from hashlib import blake2b
from typing import Any

import numpy
import polars
from numpy.typing import NDArray


class ProteinSequences:
    """The protein of each row of a table, each distinct sequence kept once.

    Attributes:
        hashes: (rows,) uint64, equal for equal sequences.
    """

    def __init__(self, sequences: polars.Series) -> None:
        """Encode the sequences.

        Args:
            sequences: Letters A to Z, one sequence a row; null for a row that is not used.
        """
        cells = sequences.fill_null("").rename("text")
        distinct = cells.unique(maintain_order=True)
        numbers = distinct.to_frame().with_row_index("number")
        joined = cells.to_frame().join(numbers, on="text", how="left", maintain_order="left")
        self._protein_of_row = joined["number"].to_numpy().astype(numpy.int64)
        self._codes = numpy.frombuffer("".join(distinct).encode(), dtype=numpy.uint8) - ord("A")
        self._lengths = distinct.str.len_bytes().to_numpy().astype(numpy.int64)
        self._starts = numpy.cumsum(self._lengths) - self._lengths
        digests = (blake2b(text.encode(), digest_size=8).digest() for text in distinct)
        self.hashes: NDArray[Any] = numpy.frombuffer(b"".join(digests), dtype=numpy.uint64)[self._protein_of_row]

    def gather(self, rows: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
        """The distinct proteins of some rows, end to end.

        Args:
            rows: (B,) rows of the table.

        Returns:
            The fields of `ProteinBatch`: (R,) uint8, (Q,) int64 and (B,) int64.
        """
        proteins, protein_of_row = numpy.unique(self._protein_of_row[rows], return_inverse=True)
        lengths = self._lengths[proteins]
        ends = numpy.cumsum(lengths)
        shift = self._starts[proteins] - ends + lengths
        return self._codes[numpy.arange(lengths.sum()) + numpy.repeat(shift, lengths)], lengths, protein_of_row
