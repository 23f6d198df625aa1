"""Features of molecules: flat integer arrays that RDKit computes from SMILES."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy
from numpy.typing import NDArray

from base.ranges import check_whole
from datamodules.chemistry.canonical_drugs import drug_molecule
from datamodules.chemistry.count_fingerprints import FingerprintBuilder, FingerprintKind, Fingerprints
from datamodules.chemistry.molecule_graphs import GraphBuilder, MoleculeGraphs, SmilesReader, size_refusal
from datamodules.chemistry.pretrained_vectors import VECTOR_SIZES, PretrainedModel, vectors_of
from datamodules.chemistry.skeleton_hashes import ParentGraphs, refined_labels, sum_hashes

# A drug has few atoms that are farther apart.
_LARGEST_RADIUS = 20
# Distinct counts would hardly share bins any more, and the first layer of an encoder would not fit into memory.
_LARGEST_SIZE = 2**20


@dataclass(frozen=True)
class FeatureSettings:
    """Settings that change the features.

    Attributes:
        fingerprint_radius: Radius of the Morgan count fingerprint, in bonds.
        fingerprint_size: Number of bins that each fingerprint is folded into.
        fingerprint_kinds: The count fingerprints to compute, whose bins follow each other.
        pretrained: The pretrained model whose vectors of the molecules encoders can read; none if null.
        array_shape: Shape of a sample that is an array, to which the other settings do not apply.

    Raises:
        ValueError: If a number is out of range, there is no fingerprint, one is repeated, or the pretrained model is
            unknown.
    """

    fingerprint_radius: int = 2
    fingerprint_size: int = 2048
    fingerprint_kinds: tuple[FingerprintKind, ...] = ("morgan",)
    pretrained: PretrainedModel | None = None
    array_shape: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        check_whole("data.fingerprint_radius", self.fingerprint_radius, 0, _LARGEST_RADIUS)
        check_whole("data.fingerprint_size", self.fingerprint_size, 1, _LARGEST_SIZE)
        if not self.fingerprint_kinds or len(set(self.fingerprint_kinds)) < len(self.fingerprint_kinds):
            raise ValueError(
                f"fingerprint_kinds: expected one or more different kinds, got {list(self.fingerprint_kinds)}."
            )
        if self.pretrained is not None and self.pretrained not in VECTOR_SIZES:
            raise ValueError(f"data.pretrained: expected {' or '.join(VECTOR_SIZES)}, or null; got {self.pretrained}.")

    @property
    def fingerprint_width(self) -> int:
        """Number of bins of all fingerprints together, or number of features of an array."""
        if self.array_shape:
            return math.prod(self.array_shape)
        return self.fingerprint_size * len(self.fingerprint_kinds)

    @property
    def vector_size(self) -> int:
        """Size of the pretrained vector of a molecule; 0 without a pretrained model."""
        return VECTOR_SIZES[self.pretrained] if self.pretrained else 0


@dataclass(frozen=True)
class MoleculeFeatures:
    """Features of M molecules; a molecule that RDKit cannot read has no atoms.

    Attributes:
        graphs: The molecular graphs.
        fingerprints: The count fingerprints.
        skeletons: (M,) uint64, see `skeleton_hashes`; 0 for a molecule that RDKit cannot read.
        parents: (M,) uint64, the same of the parent of each molecule, see `ParentFinder`.
        vectors: (M, `FeatureSettings.vector_size`) float32, from the pretrained model; zeros for a molecule that RDKit
            or the model cannot read.
    """

    graphs: MoleculeGraphs
    fingerprints: Fingerprints
    skeletons: NDArray[Any]
    parents: NDArray[Any]
    vectors: NDArray[Any]

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """All arrays by name, each of which can be joined end to end with that of other molecules."""
        own = {"skeletons": self.skeletons, "parents": self.parents, "vectors": self.vectors}
        return {**vars(self.graphs), **vars(self.fingerprints), **own}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> MoleculeFeatures:
        """The inverse of `to_arrays`."""
        graphs = MoleculeGraphs(**{field.name: arrays[field.name] for field in fields(MoleculeGraphs)})
        fingerprints = Fingerprints(**{field.name: arrays[field.name] for field in fields(Fingerprints)})
        return cls(graphs, fingerprints, arrays["skeletons"], arrays["parents"], arrays["vectors"])


def featurize(smiles: Sequence[str], settings: FeatureSettings) -> MoleculeFeatures:
    """Turn SMILES into features.

    Args:
        smiles: M SMILES; dots separate the components of one molecule.
        settings: What to compute.
    """
    from rdkit import Chem, rdBase

    read, graphs = SmilesReader(), GraphBuilder()
    fingerprints = FingerprintBuilder(
        settings.fingerprint_kinds, settings.fingerprint_radius, settings.fingerprint_size
    )
    parents = ParentGraphs(read)
    canonical: list[str] = []
    readable = numpy.zeros(len(smiles), dtype=bool)
    with rdBase.BlockLogs():
        for number, text in enumerate(smiles):
            molecule = read(text)
            if molecule is not None and size_refusal(molecule) is None:
                readable[number] = True
                graphs.add(text, molecule)
                fingerprints.add(molecule)
                parents.add(text, molecule)
                if settings.pretrained:
                    # A pretrained model gives another vector for another order of the atoms.
                    canonical.append(Chem.MolToSmiles(drug_molecule(text, molecule, None, stereo=True)))
        found = graphs.finish()
        labels = refined_labels(found)
        hashes = sum_hashes(labels, found.atom_counts), parents.hashes(labels, found.atom_counts)
        vectors = numpy.empty((len(found.atom_counts), 0), dtype=numpy.float32)
        if settings.pretrained:
            vectors = vectors_of(canonical, settings.pretrained)
        features = MoleculeFeatures(found, fingerprints.finish(), *hashes, vectors)
    arrays = features.to_arrays()
    for name in ("atom_counts", "bond_counts", "entry_counts", "skeletons", "parents", "vectors"):
        values = numpy.zeros((len(smiles), *arrays[name].shape[1:]), dtype=arrays[name].dtype)
        values[readable] = arrays[name]
        arrays[name] = values
    return MoleculeFeatures.from_arrays(arrays)


def feature_arrays(smiles: Sequence[str], settings: FeatureSettings) -> dict[str, NDArray[Any]]:
    """The features of molecules as arrays by name, for files; see `featurize`.

    It is here since worker processes import this module alone, without torch, whose import takes a second.

    Args:
        smiles: M SMILES; dots separate the components of one molecule.
        settings: What to compute.
    """
    return featurize(smiles, settings).to_arrays()
