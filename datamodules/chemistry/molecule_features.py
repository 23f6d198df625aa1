"""SMILES to flat integer arrays, by RDKit."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy
from numpy.typing import NDArray

from datamodules.chemistry.molecule_graphs import ATOM_CODE_SIZES, MAX_ATOMS, GraphBuilder, SmilesReader

FEATURE_VERSION = 3

FingerprintKind = Literal["morgan", "path", "atom_pair", "torsion"]

_LONGEST_PATH = 5


@dataclass(frozen=True)
class FeatureSettings:
    """Settings that change the features.

    Attributes:
        fingerprint_radius: Radius of the Morgan count fingerprint, in bonds.
        fingerprint_size: Number of bins that a fingerprint is folded into.
        fingerprint_kinds: The count fingerprints to compute, whose bins follow each other.
        array_shape: Where samples are arrays, the shape of one; the other settings then say nothing.

    Raises:
        ValueError: If there is no fingerprint, or one comes twice.
    """

    fingerprint_radius: int = 2
    fingerprint_size: int = 2048
    fingerprint_kinds: tuple[FingerprintKind, ...] = ("morgan",)
    # Not in the text that names cached features, which are of molecules only.
    array_shape: tuple[int, ...] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        if not self.fingerprint_kinds or len(set(self.fingerprint_kinds)) < len(self.fingerprint_kinds):
            raise ValueError(
                f"fingerprint_kinds: expected one or more different kinds, got {list(self.fingerprint_kinds)}."
            )

    @property
    def fingerprint_width(self) -> int:
        """Number of bins of all fingerprints, or of features of an array."""
        if self.array_shape:
            return math.prod(self.array_shape)
        return self.fingerprint_size * len(self.fingerprint_kinds)


Features = dict[str, NDArray[Any]]
"""Flat arrays of M molecules, A atoms, E directed bonds and F fingerprint entries.

`atoms`, `bonds`, `entries` (M,) int64: how many of each a molecule has; a molecule that RDKit cannot read has none.
`atom_codes` (A, 10) uint8, columns of `ATOM_CODE_SIZES`. `source`, `target` (E,) uint16: atom numbers within the
molecule, sorted by target, then source. `bond_codes` (E,) uint8. `bins` (F,) uint16, or int32 where a fingerprint has
more than 65,536 bins, and `counts` (F,) int32, or float32 of arrays: the non-zero bins. `skeletons` (M,) uint64: see
`skeleton_hashes`.
"""


def featurise(smiles: Sequence[str], settings: FeatureSettings) -> Features:
    """Turn SMILES into flat arrays.

    Args:
        smiles: M SMILES; dots separate the components of one molecule.
        settings: What to compute.
    """
    from rdkit import rdBase

    read, graphs, fingerprints = SmilesReader(), GraphBuilder(), _FingerprintBuilder(settings)
    readable = numpy.zeros(len(smiles), dtype=bool)
    with rdBase.BlockLogs():
        for number, text in enumerate(smiles):
            molecule = read(text)
            if molecule is not None and 0 < molecule.GetNumAtoms() <= MAX_ATOMS:
                readable[number] = True
                graphs.add(text, molecule)
                fingerprints.add(molecule)
        features = {**graphs.finish(), **fingerprints.finish()}
    features["skeletons"] = skeleton_hashes(features)
    for name in ("atoms", "bonds", "entries", "skeletons"):
        values = numpy.zeros(len(smiles), dtype=features[name].dtype)
        values[readable] = features[name]
        features[name] = values
    return features


def skeleton_hashes(features: Features) -> NDArray[Any]:
    """A hash of each molecule without stereochemistry, isotopes and the way its SMILES is written.

    Five rounds of neighbourhood refinement (Weisfeiler and Leman 1968) over the codes of atoms and bonds. Equal
    molecules have equal hashes; that different skeletons share one is rare, but happens.

    Args:
        features: The arrays `atoms`, `bonds`, `atom_codes`, `source`, `target` and `bond_codes`.

    Returns:
        (M,) uint64.
    """
    names = ("element", "charge", "radical_electrons", "aromatic", "hydrogens", "ring")
    atoms, bonds = features["atoms"], features["bonds"]
    codes = dict(zip(ATOM_CODE_SIZES, features["atom_codes"].T.astype(numpy.uint64), strict=True))
    shift = numpy.repeat(numpy.cumsum(atoms) - atoms, bonds)
    source, target = features["source"] + shift, features["target"] + shift
    degrees = numpy.bincount(target, minlength=len(features["atom_codes"]))
    # Deuterium is an atom of the graph where hydrogen is none: its atom counts as a hydrogen of its neighbour.
    isotope = (codes["element"] == 1) & (degrees == 1)
    attached = isotope[source] & (codes["element"][target] != 1)
    codes["hydrogens"] += numpy.bincount(target[attached], minlength=len(degrees)).astype(numpy.uint64)
    dropped = numpy.bincount(source[attached], minlength=len(degrees)) > 0
    silent = dropped[source] | dropped[target]
    labels = numpy.zeros(len(degrees), dtype=numpy.uint64)
    for name in names:
        labels = labels * numpy.uint64(ATOM_CODE_SIZES[name]) + codes[name]
    labels = _mixed(labels)
    for _ in range(5):
        messages = _mixed(labels[source] + features["bond_codes"].astype(numpy.uint64))
        messages[silent] = 0
        labels = _mixed(labels * numpy.uint64(3) + _sums(messages, degrees))
    labels[dropped] = 0
    hashes: NDArray[Any] = _mixed(_sums(labels, atoms))
    return hashes


def _mixed(values: Any) -> Any:
    """Scrambled bits of 64-bit integers (the finaliser of SplitMix64, Steele et al. 2014)."""
    values = values + numpy.uint64(0x9E3779B97F4A7C15)
    values = (values ^ (values >> numpy.uint64(30))) * numpy.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> numpy.uint64(27))) * numpy.uint64(0x94D049BB133111EB)
    return values ^ (values >> numpy.uint64(31))


def _sums(values: Any, counts: Any) -> Any:
    """Sums of consecutive runs, modulo 2^64."""
    running = numpy.concatenate([numpy.zeros(1, dtype=numpy.uint64), numpy.cumsum(values, dtype=numpy.uint64)])
    ends = numpy.cumsum(counts)
    return running[ends] - running[ends - counts]


class _FingerprintBuilder:
    def __init__(self, settings: FeatureSettings) -> None:
        from rdkit.Chem import rdFingerprintGenerator as rdkit_fingerprints

        size, radius = settings.fingerprint_size, settings.fingerprint_radius
        makers: dict[FingerprintKind, Callable[[], Any]] = {
            "morgan": lambda: rdkit_fingerprints.GetMorganGenerator(radius=radius, fpSize=size),
            "path": lambda: rdkit_fingerprints.GetRDKitFPGenerator(maxPath=_LONGEST_PATH, fpSize=size),
            "atom_pair": lambda: rdkit_fingerprints.GetAtomPairGenerator(fpSize=size),
            "torsion": lambda: rdkit_fingerprints.GetTopologicalTorsionGenerator(fpSize=size),
        }
        self._generators = [makers[kind]() for kind in settings.fingerprint_kinds]
        self._size = size
        self._bin_type = numpy.uint16 if settings.fingerprint_width <= 65_536 else numpy.int32
        self._bins: list[int] = []
        self._counts: list[int] = []
        self._entries: list[int] = []

    def add(self, molecule: Any) -> None:
        before = len(self._bins)
        for place, generator in enumerate(self._generators):
            counts = generator.GetCountFingerprint(molecule).GetNonzeroElements()
            self._bins += [place * self._size + bin for bin in counts] if place else counts
            self._counts += counts.values()
        self._entries.append(len(self._bins) - before)

    def finish(self) -> Features:
        return {
            "entries": numpy.array(self._entries, dtype=numpy.int64),
            "bins": numpy.array(self._bins, dtype=self._bin_type),
            "counts": numpy.array(self._counts, dtype=numpy.int32),
        }
