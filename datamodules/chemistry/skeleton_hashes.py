"""Hashes by which molecules, and their parents, are found that may be the same drug."""

from __future__ import annotations

from typing import Any

import numpy
from numpy.typing import NDArray

from datamodules.chemistry.atom_codes import ATOM_CODE_SIZES
from datamodules.chemistry.molecule_graphs import GraphBuilder, MoleculeGraphs, SmilesReader
from datamodules.chemistry.parent_molecule import ParentFinder


def skeleton_hashes(graphs: MoleculeGraphs) -> NDArray[Any]:
    """A hash of each molecule without stereochemistry, isotopes and the spelling of its SMILES.

    Equal molecules have equal hashes; different skeletons rarely share one.

    Args:
        graphs: M molecules.

    Returns:
        (M,) uint64.
    """
    return sum_hashes(refined_labels(graphs), graphs.atom_counts)


def refined_labels(graphs: MoleculeGraphs) -> NDArray[Any]:
    """The label of each atom after five rounds of neighborhood refinement (Weisfeiler and Leman 1968).

    Args:
        graphs: M molecules with A atoms in all.

    Returns:
        (A,) uint64, equal for atoms with equal surroundings in the component that they belong to.
    """
    names = ("element", "charge", "radical_electrons", "aromatic", "hydrogens", "ring")
    bonds = graphs.bond_counts
    codes = dict(zip(ATOM_CODE_SIZES, graphs.atom_codes.T.astype(numpy.uint64), strict=True))
    shift = numpy.repeat(numpy.cumsum(graphs.atom_counts) - graphs.atom_counts, bonds)
    source, target = graphs.source + shift, graphs.target + shift
    degrees = numpy.bincount(target, minlength=len(graphs.atom_codes))
    # Deuterium is an atom of the graph where hydrogen is none: its atom counts as a hydrogen of its neighbor.
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
        messages = _mixed(labels[source] + graphs.bond_codes.astype(numpy.uint64))
        messages[silent] = 0
        labels = _mixed(labels * numpy.uint64(3) + _sums(messages, degrees))
    labels[dropped] = 0
    found: NDArray[Any] = labels
    return found


def sum_hashes(labels: NDArray[Any], atom_counts: NDArray[Any]) -> NDArray[Any]:
    """The hashes of consecutive molecules, from the labels of their atoms.

    Args:
        labels: (A,) uint64, see `refined_labels`.
        atom_counts: (M,) number of atoms of each molecule.

    Returns:
        (M,) uint64.
    """
    hashes: NDArray[Any] = _mixed(_sums(labels, atom_counts))
    return hashes


def _mixed(values: Any) -> Any:
    """Scrambled bits of 64-bit integers (the finalizer of SplitMix64, Steele et al. 2014)."""
    values = values + numpy.uint64(0x9E3779B97F4A7C15)
    values = (values ^ (values >> numpy.uint64(30))) * numpy.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> numpy.uint64(27))) * numpy.uint64(0x94D049BB133111EB)
    return values ^ (values >> numpy.uint64(31))


def _sums(values: Any, counts: Any) -> Any:
    """Sums of consecutive runs, modulo 2^64."""
    running = numpy.concatenate([numpy.zeros(1, dtype=numpy.uint64), numpy.cumsum(values, dtype=numpy.uint64)])
    ends = numpy.cumsum(counts)
    return running[ends] - running[ends - counts]


class ParentGraphs:
    """The graphs of the parents that differ from their molecules."""

    def __init__(self, read: SmilesReader) -> None:
        """Start without molecules.

        Args:
            read: Reads the SMILES of parents.
        """
        self._read, self._find_parent, self._graphs = read, ParentFinder(), GraphBuilder()
        self._molecules = 0
        self._owners: list[int] = []
        self._components: dict[int, tuple[int, ...]] = {}

    def add(self, text: str, molecule: Any) -> None:
        """Add a molecule.

        Args:
            text: Its SMILES.
            molecule: The molecule that RDKit read from it.
        """
        component = self._find_parent.find_component(text, molecule)
        if component is None:
            self._add_parent(text, molecule)
        else:
            self._components[self._molecules] = component
        self._molecules += 1

    def hashes(self, labels: NDArray[Any], atom_counts: NDArray[Any]) -> NDArray[Any]:
        """The hash of the parent of each molecule, (M,) uint64.

        Args:
            labels: (A,) uint64, the `refined_labels` of the atoms of the molecules.
            atom_counts: (M,) number of atoms of each molecule.
        """
        found = sum_hashes(labels, atom_counts)
        if self._owners:
            found[self._owners] = skeleton_hashes(self._graphs.finish())
        if self._components:
            owners = list(self._components)
            components = [numpy.array(atoms) for atoms in self._components.values()]
            starts = (numpy.cumsum(atom_counts) - atom_counts)[owners]
            atoms = [own + start for own, start in zip(components, starts, strict=True)]
            found[owners] = sum_hashes(labels[numpy.concatenate(atoms)], numpy.array(list(map(len, components))))
        return found

    def _add_parent(self, text: str, molecule: Any) -> None:
        from rdkit import Chem

        parent = self._find_parent(text, molecule)
        if parent is not molecule:
            parent_text = Chem.MolToSmiles(parent)
            parent = self._read(parent_text)
            if parent is not None:
                self._graphs.add(parent_text, parent)
                self._owners.append(self._molecules)
