"""Arrays, one a sample, in the form that batches carry fingerprints in: the features that are not zero."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import numpy
from numpy.typing import NDArray

from datamodules.chemistry.molecule_features import Features
from datamodules.chemistry.molecule_graphs import ATOM_CODE_SIZES


@dataclass(frozen=True)
class SampleArrays:
    """N arrays of one shape with D features each, F of all these being other than zero.

    Attributes:
        shape: Of one sample: (D,), (height, width) or (channels, height, width).
        starts: (N + 1,) int64, where each sample's features begin, and F.
        bins: (F,) uint16, or int32 where D is more than 65,536: place of a feature in its flattened sample, ascending.
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
        """What tells a sample from every other one."""
        own = slice(self.starts[row], self.starts[row + 1])
        return self.bins[own].tobytes() + self.values[own].tobytes()

    def hashes(self) -> NDArray[Any]:
        """(N,) uint64, equal for equal samples."""
        digests = (blake2b(self.content(row), digest_size=8).digest() for row in range(len(self)))
        return numpy.frombuffer(b"".join(digests), dtype=numpy.uint64)

    def features(self) -> Features:
        """Molecules without atoms, whose fingerprints are the samples."""
        nothing = numpy.zeros(len(self), dtype=numpy.int64)
        return {
            "atoms": nothing,
            "bonds": nothing,
            "entries": numpy.diff(self.starts),
            "atom_codes": numpy.empty((0, len(ATOM_CODE_SIZES)), dtype=numpy.uint8),
            "bond_codes": numpy.empty(0, dtype=numpy.uint8),
            "source": numpy.empty(0, dtype=numpy.uint16),
            "target": numpy.empty(0, dtype=numpy.uint16),
            "bins": self.bins,
            "counts": self.values,
            "skeletons": self.hashes(),
        }
