"""What RDKit says of a molecule when asked one atom and one bond at a time, to compare the fast features with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy
from rdkit import Chem, rdBase
from rdkit.Chem import rdFingerprintGenerator

from datamodules.chemistry.molecule_features import FeatureSettings
from datamodules.feature_cache import Arrays

Graph = tuple[list[list[int]], list[tuple[int, int, int]]]
"""The codes of each atom; target, source and code of each bond in both directions, sorted."""


def read(text: str) -> Any:
    """RDKit's molecule, without its messages, or None."""
    with rdBase.BlockLogs():
        return Chem.MolFromSmiles(text)


def unwritten_hydrogens(molecule: Any) -> list[int]:
    """The hydrogens of each atom, 0 if RDKit would not give it as many without brackets."""
    subset = {"B", "C", "N", "O", "F", "P", "S", "Cl", "Br", "I"}
    bare = Chem.RWMol(molecule)
    for atom in list(bare.GetAtoms()):
        marked = atom.GetFormalCharge() or atom.GetIsotope() or str(atom.GetChiralTag()) != "CHI_UNSPECIFIED"
        if atom.GetSymbol() in subset and not marked:
            atom.SetNoImplicit(False)
            atom.SetNumExplicitHs(0)
            atom.SetNumRadicalElectrons(0)
    bare.UpdatePropertyCache(strict=False)
    pairs = zip(list(bare.GetAtoms()), list(molecule.GetAtoms()), strict=True)
    return [new.GetNumImplicitHs() if new.GetNumImplicitHs() == old.GetTotalNumHs() else 0 for new, old in pairs]


def atom_codes(atom: Any, implicit: int, chirality: dict[int, str]) -> list[int]:
    """Ten codes, in the order of `ATOM_CODE_SIZES`; `chirality` has the R and S of numbered atoms."""
    tagged = str(atom.GetChiralTag()) != "CHI_UNSPECIFIED"
    return [
        atom.GetAtomicNum(),
        min(11, len(atom.GetNeighbors())),
        min(7, implicit),
        sorted((-5, atom.GetFormalCharge(), 5))[1] + 5,
        min(4, atom.GetNumRadicalElectrons()),
        list(Chem.HybridizationType.values.values()).index(atom.GetHybridization()),
        1 if atom.GetIsAromatic() else 0,
        min(5, atom.GetNumExplicitHs() + atom.GetNumImplicitHs()),
        1 if atom.IsInRing() else 0,
        {"R": 1, "S": 2}.get(chirality.get(atom.GetIdx(), "?"), 3) if tagged else 0,
    ]


def graph(molecule: Any) -> Graph:
    """What the features of a molecule must say of its atoms and bonds."""
    atoms, bonds = list(molecule.GetAtoms()), []
    find: Any = Chem.FindMolChiralCenters
    tagged = any(str(atom.GetChiralTag()) != "CHI_UNSPECIFIED" for atom in atoms)
    chirality = dict(find(molecule, useLegacyImplementation=True)) if tagged else {}
    for bond in list(molecule.GetBonds()):
        kind = {"SINGLE": 1, "DOUBLE": 2, "TRIPLE": 3, "AROMATIC": 4}.get(bond.GetBondType().name, 0)
        code = 2 * kind + int(bond.GetIsConjugated())
        begin, end = bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()
        bonds += [(begin, end, code), (end, begin, code)]
    implicit = unwritten_hydrogens(molecule)
    return [atom_codes(atom, implicit[atom.GetIdx()], chirality) for atom in atoms], sorted(bonds)


def fingerprint(molecule: Any, settings: FeatureSettings) -> list[int]:
    """Dense counts of every kind, one behind the other."""
    make = {
        "morgan": lambda size: rdFingerprintGenerator.GetMorganGenerator(settings.fingerprint_radius, fpSize=size),
        "path": lambda size: rdFingerprintGenerator.GetRDKitFPGenerator(maxPath=5, fpSize=size),
        "atom_pair": lambda size: rdFingerprintGenerator.GetAtomPairGenerator(fpSize=size),
        "torsion": lambda size: rdFingerprintGenerator.GetTopologicalTorsionGenerator(fpSize=size),
    }
    generators: list[Any] = [make[kind](settings.fingerprint_size) for kind in settings.fingerprint_kinds]
    return [count for generator in generators for count in generator.GetCountFingerprintAsNumPy(molecule).tolist()]


def parts(features: Arrays, length: str, name: str) -> list[Any]:
    """The slice of a flat array that belongs to each molecule, as lists."""
    ends = numpy.cumsum(features[length])
    return [features[name][end - n : end].tolist() for n, end in zip(features[length], ends, strict=True)]


def graphs(features: Arrays) -> list[Graph]:
    """The graph of each molecule, as `graph` gives it."""
    bonds = zip(*(parts(features, "bond_counts", name) for name in ("target", "source", "bond_codes")), strict=True)
    atoms = parts(features, "atom_counts", "atom_codes")
    return [(codes, list(zip(*columns, strict=True))) for codes, columns in zip(atoms, bonds, strict=True)]


def wrong_graphs(smiles: Sequence[str], features: Arrays) -> list[str]:
    """The SMILES whose atoms or bonds are not what RDKit says."""
    return [text for text, found in zip(smiles, graphs(features), strict=True) if found != expected_graph(text)]


def expected_graph(text: str) -> Graph:
    """The graph of a SMILES, empty where RDKit cannot read it."""
    molecule = read(text)
    return ([], []) if molecule is None else graph(molecule)
