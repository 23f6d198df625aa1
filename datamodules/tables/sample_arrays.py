"""Arrays of numbers, one a sample, kept as their features other than zero."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import numpy
from numpy.typing import NDArray


@dataclass(frozen=True)
class SampleArrays:
    """N arrays of one shape with D features each, F of which are not zero in all.

    Attributes:
        shape: Shape of one sample: (D,), (height, width) or (channels, height, width).
        starts: (N + 1,) int64, the first feature of each sample, and F.
        bins: (F,) uint16, or int32 if D is above 65,536: place of a feature in its flattened sample, ascending.
        values: (F,) float32.
    """

    shape: tuple[int, ...]
    starts: NDArray[Any]
    bins: NDArray[Any]
    values: NDArray[Any]

    def __len__(self) -> int:
        """N."""
        return len(self.starts) - 1

    def content(self, row: int) -> bytes:
        """Bytes that are equal for equal samples, and only for these."""
        own = slice(self.starts[row], self.starts[row + 1])
        return self.bins[own].tobytes() + self.values[own].tobytes()

    def hashes(self) -> NDArray[Any]:
        """(N,) uint64, equal for equal samples."""
        digests = (blake2b(self.content(row), digest_size=8).digest() for row in range(len(self)))
        return numpy.frombuffer(b"".join(digests), dtype=numpy.uint64)

    def dense(self, rows: NDArray[Any]) -> NDArray[Any]:
        """Samples with their zeros, (n, *shape) float32.

        Args:
            rows: (n,) samples.
        """
        lengths = numpy.diff(self.starts)[rows]
        owner = numpy.repeat(numpy.arange(len(rows)), lengths)
        ends = numpy.cumsum(lengths)
        places = numpy.arange(len(owner)) + (self.starts[rows] - ends + lengths)[owner]
        samples = numpy.zeros((len(rows), *self.shape), dtype=numpy.float32)
        samples.reshape(len(rows), -1)[owner, self.bins[places]] = self.values[places]
        return samples
