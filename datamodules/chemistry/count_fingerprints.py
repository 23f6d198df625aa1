"""Count fingerprints of molecules as flat integer arrays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy
from numpy.typing import NDArray

FingerprintKind = Literal["morgan", "path", "atom_pair", "torsion"]

_LONGEST_PATH = 5


@dataclass(frozen=True)
class Fingerprints:
    """Count fingerprints of M molecules with F bins that are not zero in all, end to end.

    Attributes:
        entry_counts: (M,) int64, number of such bins of each molecule.
        bins: (F,) uint16, or int32 if the fingerprints have more than 65,536 bins.
        counts: (F,) int32.
    """

    entry_counts: NDArray[Any]
    bins: NDArray[Any]
    counts: NDArray[Any]


class FingerprintBuilder:
    """Collects the count fingerprints of molecules."""

    def __init__(self, kinds: Sequence[FingerprintKind], radius: int, size: int) -> None:
        """A builder without molecules.

        Args:
            kinds: The fingerprints, whose bins follow each other.
            radius: Radius of Morgan fingerprints, in bonds.
            size: Number of bins that each fingerprint is folded into.
        """
        from rdkit.Chem import rdFingerprintGenerator as rdkit_fingerprints

        makers: dict[FingerprintKind, Callable[[], Any]] = {
            "morgan": lambda: rdkit_fingerprints.GetMorganGenerator(radius=radius, fpSize=size),
            "path": lambda: rdkit_fingerprints.GetRDKitFPGenerator(maxPath=_LONGEST_PATH, fpSize=size),
            "atom_pair": lambda: rdkit_fingerprints.GetAtomPairGenerator(fpSize=size),
            "torsion": lambda: rdkit_fingerprints.GetTopologicalTorsionGenerator(fpSize=size),
        }
        self._generators = [makers[kind]() for kind in kinds]
        self._size = size
        self._bin_type = numpy.uint16 if size * len(kinds) <= 65_536 else numpy.int32
        self._bins: list[int] = []
        self._counts: list[int] = []
        self._entries: list[int] = []

    def add(self, molecule: Any) -> None:
        """Add a molecule of RDKit."""
        before = len(self._bins)
        for place, generator in enumerate(self._generators):
            counts = generator.GetCountFingerprint(molecule).GetNonzeroElements()
            self._bins += [place * self._size + bin for bin in counts] if place else counts
            self._counts += counts.values()
        self._entries.append(len(self._bins) - before)

    def finish(self) -> Fingerprints:
        """The fingerprints of the molecules, in the order in which they were added."""
        return Fingerprints(
            entry_counts=numpy.array(self._entries, dtype=numpy.int64),
            bins=numpy.array(self._bins, dtype=self._bin_type),
            counts=numpy.array(self._counts, dtype=numpy.int32),
        )
