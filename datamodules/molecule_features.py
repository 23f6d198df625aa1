"""SMILES to flat integer arrays, by RDKit, on all cores."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Any, Literal

import numpy
from numpy.typing import NDArray

FEATURE_VERSION = 2

MAX_CHARGE = 5

ATOM_CODE_SIZES: dict[str, int] = {
    "element": 119,
    "degree": 12,
    "implicit_valence": 8,
    "charge": 2 * MAX_CHARGE + 1,
    "radical_electrons": 5,
    "hybridization": 9,
    "aromatic": 2,
    "hydrogens": 6,
    "ring": 2,
    "chirality": 4,
}
"""Columns of `atom_codes` and the number of values of each."""

BOND_TYPES = ("other", "single", "double", "triple", "aromatic")
BOND_CODE_SIZE = len(BOND_TYPES) * 4
"""A bond code is 4 * type + 2 * (in a ring) + conjugated."""

_MOLECULES_PER_TASK = 2_000
_CHIRALITY = {"R": 1, "S": 2}


FingerprintKind = Literal["morgan", "path", "atom_pair", "torsion"]

_LONGEST_PATH = 5


@dataclass(frozen=True)
class FeatureSettings:
    """Settings that change the features.

    Attributes:
        fingerprint_radius: Radius of the Morgan count fingerprint, in bonds.
        fingerprint_size: Number of bins that a fingerprint is folded into.
        fingerprint_kinds: The count fingerprints to compute, whose bins follow each other.

    Raises:
        ValueError: If there is no fingerprint, or one comes twice.
    """

    fingerprint_radius: int = 2
    fingerprint_size: int = 2048
    fingerprint_kinds: tuple[FingerprintKind, ...] = ("morgan",)

    def __post_init__(self) -> None:
        if not self.fingerprint_kinds or len(set(self.fingerprint_kinds)) < len(self.fingerprint_kinds):
            raise ValueError(
                f"fingerprint_kinds: expected one or more different kinds, got {list(self.fingerprint_kinds)}."
            )

    @property
    def fingerprint_width(self) -> int:
        """Number of bins of all fingerprints."""
        return self.fingerprint_size * len(self.fingerprint_kinds)


Features = dict[str, NDArray[Any]]
"""Flat arrays of M molecules, A atoms, E directed bonds and F fingerprint entries.

`atoms`, `bonds`, `entries` (M,) int64: how many of each a molecule has. `atom_codes` (A, 10) uint8, columns of
`ATOM_CODE_SIZES`. `source`, `target` (E,) int32: atom numbers within the molecule, sorted by target, then source.
`bond_codes` (E,) uint8. `bins`, `counts` (F,) int32: the non-zero bins of the fingerprint. `valid` (M,) bool: False
where RDKit cannot read the SMILES; such a molecule has no atoms. `canonical` (T,) uint8 and `letters` (M,) int64: the
canonical SMILES as UTF-8 text, end to end, and how long each is.
"""


def featurise(smiles: Sequence[str], settings: FeatureSettings, description: str = "Featurising") -> Features:
    """Turn SMILES into flat arrays, in parallel, with a progress bar when it takes long.

    Args:
        smiles: M SMILES; dots separate the components of one molecule.
        settings: What to compute.
        description: Shown beside the progress bar.
    """
    from tqdm import tqdm

    parts = [smiles[start : start + _MOLECULES_PER_TASK] for start in range(0, len(smiles), _MOLECULES_PER_TASK)]
    workers = min(len(parts), len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
    results: list[Features] = []
    with tqdm(total=len(smiles), desc=description, unit=" molecules", delay=2, leave=False, disable=None) as progress:
        for part, features in zip(parts, _map_parts(parts, settings, workers), strict=True):
            results.append(features)
            progress.update(len(part))
    results = results or [_featurise_part([], settings)]
    return {name: numpy.concatenate([part[name] for part in results]) for name in results[0]}


def canonical_smiles(features: Features) -> list[str]:
    """The canonical SMILES of each molecule; empty where RDKit could not read it."""
    text = features["canonical"].tobytes().decode()
    ends = numpy.cumsum(features["letters"])
    return [text[end - length : end] for end, length in zip(ends.tolist(), features["letters"].tolist(), strict=True)]


def _map_parts(parts: list[Sequence[str]], settings: FeatureSettings, workers: int) -> Iterator[Features]:
    if workers <= 1:
        yield from (_featurise_part(part, settings) for part in parts)
        return
    # Spawned, because forking a process that runs torch's threads can deadlock.
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        yield from pool.map(_featurise_part, parts, [settings] * len(parts))


def _featurise_part(smiles: Sequence[str], settings: FeatureSettings) -> Features:
    from rdkit import Chem, rdBase

    generators = _fingerprint_generators(settings)
    atom_codes: list[tuple[int, ...]] = []
    edges: list[NDArray[Any]] = [numpy.empty((3, 0), dtype=numpy.int32)]
    bins: list[NDArray[Any]] = [numpy.empty((2, 0), dtype=numpy.int32)]
    canonical: list[bytes] = []
    sizes = numpy.zeros((4, len(smiles)), dtype=numpy.int64)
    valid = numpy.zeros(len(smiles), dtype=bool)
    with rdBase.BlockLogs():
        for number, text in enumerate(smiles):
            molecule = Chem.MolFromSmiles(text)
            if molecule is None or molecule.GetNumAtoms() == 0:
                canonical.append(b"")
                continue
            valid[number] = True
            atom_codes += [_atom_codes(atom, Chem.ValenceType.IMPLICIT) for atom in list(molecule.GetAtoms())]
            edges.append(_edges(molecule))
            bins.append(_fingerprint(molecule, generators, settings.fingerprint_size))
            canonical.append(Chem.MolToSmiles(molecule).encode())
            sizes[:, number] = (
                molecule.GetNumAtoms(),
                edges[-1].shape[1],
                bins[-1].shape[1],
                len(canonical[-1]),
            )
    target, source, bond_codes = numpy.concatenate(edges, axis=1)
    fingerprint = numpy.concatenate(bins, axis=1)
    return {
        "atoms": sizes[0],
        "bonds": sizes[1],
        "entries": sizes[2],
        "letters": sizes[3],
        "atom_codes": numpy.array(atom_codes, dtype=numpy.uint8).reshape(-1, len(ATOM_CODE_SIZES)),
        "source": source,
        "target": target,
        "bond_codes": bond_codes.astype(numpy.uint8),
        "bins": fingerprint[0],
        "counts": fingerprint[1],
        "valid": valid,
        "canonical": numpy.frombuffer(b"".join(canonical), dtype=numpy.uint8),
    }


def _fingerprint_generators(settings: FeatureSettings) -> list[Any]:
    from rdkit.Chem import rdFingerprintGenerator as rdkit_fingerprints

    size = settings.fingerprint_size
    radius = settings.fingerprint_radius
    makers: dict[FingerprintKind, Callable[[], Any]] = {
        "morgan": lambda: rdkit_fingerprints.GetMorganGenerator(radius=radius, fpSize=size),
        "path": lambda: rdkit_fingerprints.GetRDKitFPGenerator(maxPath=_LONGEST_PATH, fpSize=size),
        "atom_pair": lambda: rdkit_fingerprints.GetAtomPairGenerator(fpSize=size),
        "torsion": lambda: rdkit_fingerprints.GetTopologicalTorsionGenerator(fpSize=size),
    }
    return [makers[kind]() for kind in settings.fingerprint_kinds]


def _fingerprint(molecule: Any, generators: list[Any], size: int) -> NDArray[Any]:
    """Rows bin and count of the non-zero bins of all fingerprints, each kind's bins behind the last one's."""
    parts = []
    for place, generator in enumerate(generators):
        counts = generator.GetCountFingerprint(molecule).GetNonzeroElements()
        part = numpy.array([list(counts), list(counts.values())], dtype=numpy.int32).reshape(2, -1)
        part[0] += place * size
        parts.append(part)
    return numpy.concatenate(parts, axis=1) if parts else numpy.empty((2, 0), dtype=numpy.int32)


def _atom_codes(atom: Any, implicit: Any) -> tuple[int, ...]:
    return (
        min(atom.GetAtomicNum(), 118),
        min(atom.GetDegree(), 11),
        min(atom.GetValence(implicit), 7),
        max(-MAX_CHARGE, min(MAX_CHARGE, atom.GetFormalCharge())) + MAX_CHARGE,
        min(atom.GetNumRadicalElectrons(), 4),
        min(int(atom.GetHybridization()), 8),
        int(atom.GetIsAromatic()),
        min(atom.GetTotalNumHs(), 5),
        int(atom.IsInRing()),
        _chirality(atom),
    )


def _chirality(atom: Any) -> int:
    """0 for none, 1 for R, 2 for S, 3 for a centre without such a name.

    RDKit's own tag depends on the order in which the SMILES names the atoms.
    """
    if not int(atom.GetChiralTag()):
        return 0
    return _CHIRALITY.get(atom.GetProp("_CIPCode"), 3) if atom.HasProp("_CIPCode") else 3


def _edges(molecule: Any) -> NDArray[Any]:
    """Rows target, source and code of every bond in both directions, sorted by target, then source."""
    rows: list[tuple[int, int, int]] = []
    for bond in list(molecule.GetBonds()):
        begin, end = bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()
        name = str(bond.GetBondType()).lower()
        kind = BOND_TYPES.index(name) if name in BOND_TYPES else 0
        code = 4 * kind + 2 * int(bond.IsInRing()) + int(bond.GetIsConjugated())
        rows += [(begin, end, code), (end, begin, code)]
    rows.sort()
    return numpy.array(rows, dtype=numpy.int32).reshape(-1, 3).T
