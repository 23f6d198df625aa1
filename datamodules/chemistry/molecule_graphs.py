"""Molecular graphs as flat integer arrays, with a few calls of RDKit for each molecule."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy
from numpy.typing import NDArray

from datamodules.chemistry.atom_codes import ATOM_CODE_SIZES, BOND_TYPES, plain_atom_codes, plain_edges, read_chirality
from datamodules.chemistry.atom_kinds import AtomKinds

MOST_ATOMS = 600
"""Largest number of atoms of a molecule; atom pairs take a time that grows with its third power."""

_COLUMN = {name: place for place, name in enumerate(ATOM_CODE_SIZES)}
_LARGEST_MATRIX = 1_000
# A SMILES of nothing else has no brackets, no stereo marks and only usual bonds, which is soon seen.
_USUAL_CHARACTERS = frozenset("BCFINOPSbclnors0123456789()=#%.+-")
_NEEDS_ALL_STEPS = re.compile(r"[@/\\\s|]|\[H")
# What hash and matrix do not tell: stereo marks that decide the hybridization (a tetrahedral carbon has it anyway),
# isotopes (the hash mixes them with charges), aromatic P, As, Se, Te and Si, whose hybridization depends on how they
# are written, and bonds of other types; a colon is one unless it stands before an atom's number.
_RARE_PART = re.compile(r"[^@C]@|@[AOST]|\[\d|p|\[[a-z]{2}|[$>~]|:(?!\d+\])")
_TYPE_OF_DOUBLED_ORDER = numpy.zeros(256, dtype=numpy.uint8)
_TYPE_OF_DOUBLED_ORDER[[2, 3, 4, 6]] = [BOND_TYPES.index(name) for name in ("single", "aromatic", "double", "triple")]


@dataclass(frozen=True)
class MoleculeGraphs:
    """Graphs of M molecules with A atoms and E directed bonds in all, end to end.

    Attributes:
        atom_counts: (M,) int64, number of atoms of each molecule.
        bond_counts: (M,) int64, number of directed bonds of each molecule.
        atom_codes: (A, 10) uint8, the columns of `ATOM_CODE_SIZES`.
        source: (E,) uint16, the atom of the molecule that a bond leaves.
        target: (E,) uint16, the atom that a bond enters; bonds are sorted by target, then source.
        bond_codes: (E,) uint8, below `BOND_CODE_SIZE`.
    """

    atom_counts: NDArray[Any]
    bond_counts: NDArray[Any]
    atom_codes: NDArray[Any]
    source: NDArray[Any]
    target: NDArray[Any]
    bond_codes: NDArray[Any]


class SmilesReader:
    """Reads SMILES like `MolFromSmiles`, but faster.

    The steps that look for stereo marks and explicit hydrogens, a fifth of the time, are skipped for SMILES without
    them.
    """

    def __init__(self) -> None:
        """A reader of SMILES."""
        from rdkit import Chem

        self._read, self._sanitize = Chem.MolFromSmiles, Chem.SanitizeMol
        unfinished: Any = Chem.SmilesParserParams()
        unfinished.sanitize = unfinished.removeHs = False
        self._unfinished = unfinished

    def __call__(self, text: str) -> Any:
        """RDKit's molecule, sanitized, or None if it cannot read the SMILES."""
        if not _USUAL_CHARACTERS.issuperset(text) and _NEEDS_ALL_STEPS.search(text):
            return self._read(text)
        molecule = self._read(text, self._unfinished)
        if molecule is None:
            return None
        try:
            self._sanitize(molecule)
        except ValueError:
            return None
        return molecule


def why_refused(text: str) -> str:
    """Why nothing is computed for a SMILES, as the beginning of a sentence.

    Args:
        text: A SMILES without features.
    """
    from rdkit import rdBase

    with rdBase.BlockLogs():
        molecule = SmilesReader()(text)
    if molecule is None and text.count(">") == 2:
        return "reaction, which --data.input reaction reads,"
    return (molecule and size_refusal(molecule)) or "SMILES that RDKit cannot read"


def size_refusal(molecule: Any) -> str | None:
    """Why a molecule is too large to compute its features in time, as the beginning of a sentence; None if it is not.

    Args:
        molecule: A molecule of RDKit.
    """
    atoms, bonds = molecule.GetNumAtoms(), molecule.GetNumBonds()
    if atoms == 0:
        return "SMILES that RDKit cannot read"
    if atoms > MOST_ATOMS:
        return f"molecule of {atoms:,} atoms, of which {MOST_ATOMS} are allowed,"
    # The number of paths grows with the power of the bonds of an atom.
    if bonds > 2 * atoms + 20:
        return f"molecule with {bonds:,} bonds between {atoms:,} atoms, of which {2 * atoms + 20:,} are allowed,"
    return None


class GraphBuilder:
    """Collects molecules and computes their arrays together.

    RDKit's hash of an atom (element, degree, hydrogens, charge, isotope, ring membership), the orders of its bonds and
    whether one of them is conjugated determine all codes of the atom but its chirality, so each such kind of atom is
    looked at once in a process. Chiral atoms are looked up in the molecules that have them, and molecules with unusual
    atoms or bonds are read atom by atom.
    """

    def __init__(self) -> None:
        """A builder without molecules."""
        from rdkit import Chem
        from rdkit.Chem import rdMolDescriptors, rdqueries

        self._invariants_of = rdMolDescriptors.GetConnectivityInvariants
        self._bond_orders_of = Chem.GetAdjacencyMatrix
        self._chiral_atom = rdqueries.HasChiralTagQueryAtom()
        self._texts: list[str] = []
        self._atoms: list[int] = []
        self._invariants: list[int] = []
        self._places: list[NDArray[Any]] = [numpy.empty(0, dtype=numpy.int64)]
        self._orders: list[NDArray[Any]] = [numpy.empty(0)]
        self._plain: dict[int, tuple[list[tuple[int, ...]], list[int]]] = {}
        self._chiral: list[tuple[int, int]] = []

    def add(self, text: str, molecule: Any) -> None:
        """Add a molecule of at most 65,535 atoms, whose numbers have 16 bits.

        Args:
            text: Its SMILES.
            molecule: The molecule that RDKit read from it.
        """
        first = len(self._invariants)
        invariants = self._invariants_of(molecule, True)
        atoms = len(invariants)
        has_marks = not _USUAL_CHARACTERS.issuperset(text)
        usual = atoms <= _LARGEST_MATRIX and not (has_marks and _RARE_PART.search(text))
        if usual:
            matrix = self._bond_orders_of(molecule, True).ravel()
            places = matrix.nonzero()[0]
            orders = matrix[places]
            # Bonds of order zero are not in the matrix, dative ones only once.
            usual = len(places) == 2 * molecule.GetNumBonds()
        if not usual:
            edges = plain_edges(molecule)
            self._plain[len(self._atoms)] = (plain_atom_codes(molecule), [code for _, _, code in edges])
            places = numpy.array([target * atoms + source for target, source, _ in edges], dtype=numpy.int64)
            orders = numpy.zeros(len(places))
            invariants = [0] * atoms
        elif has_marks and "@" in text:
            found = molecule.GetAtomsMatchingQuery(self._chiral_atom)
            self._chiral += [(first + atom.GetIdx(), read_chirality(atom)) for atom in list(found)]
        self._invariants += invariants
        self._atoms.append(atoms)
        self._places.append(places)
        self._orders.append(orders)
        self._texts.append(text)

    def finish(self) -> MoleculeGraphs:
        """The graphs of the molecules, in the order in which they were added."""
        atoms = numpy.array(self._atoms, dtype=numpy.int64)
        bonds = numpy.array([len(places) for places in self._places[1:]], dtype=numpy.int64)
        first_atom, first_bond = numpy.cumsum(atoms) - atoms, numpy.cumsum(bonds) - bonds
        target, source = numpy.divmod(numpy.concatenate(self._places), numpy.repeat(atoms, bonds))
        shift = numpy.repeat(first_atom, bonds)
        doubled = (2 * numpy.concatenate(self._orders)).astype(numpy.uint8)
        kinds = AtomKinds(numpy.array(self._invariants, dtype=numpy.uint64), target + shift, source + shift, doubled)
        while len(unknown := kinds.unknown()):
            molecules = numpy.unique(numpy.searchsorted(first_atom, unknown, side="right") - 1)
            for number in molecules.tolist():
                kinds.learn(int(first_atom[number]), self._texts[number])
        codes = kinds.codes()
        if self._chiral:
            places, values = zip(*self._chiral, strict=True)
            codes[list(places), _COLUMN["chirality"]] = values
            # A chiral atom stands in brackets, with its hydrogens.
            codes[list(places), _COLUMN["implicit_valence"]] = 0
        bond_codes = 2 * _TYPE_OF_DOUBLED_ORDER[doubled] + kinds.conjugated
        for number, (atom_rows, bond_row) in self._plain.items():
            codes[first_atom[number] : first_atom[number] + atoms[number]] = atom_rows
            bond_codes[first_bond[number] : first_bond[number] + bonds[number]] = bond_row
        return MoleculeGraphs(
            atom_counts=atoms,
            bond_counts=bonds,
            atom_codes=codes,
            source=source.astype(numpy.uint16),
            target=target.astype(numpy.uint16),
            bond_codes=bond_codes,
        )
