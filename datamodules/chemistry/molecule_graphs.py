"""Molecular graphs as flat integer arrays, with a few calls of RDKit for each molecule."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy
from numpy.typing import NDArray

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
BOND_CODE_SIZE = 2 * len(BOND_TYPES)
"""A bond code is 2 * type + conjugated."""

MAX_ATOMS = 65_535
"""Largest number of atoms of a molecule, whose numbers have 16 bits."""

_COLUMN = {name: place for place, name in enumerate(ATOM_CODE_SIZES)}
_CHIRALITY = {"R": 1, "S": 2}
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


class GraphBuilder:
    """Collects molecules and computes their arrays together.

    RDKit's hash of an atom (element, degree, hydrogens, charge, isotope, ring membership), the orders of its bonds and
    whether one of them is conjugated determine all codes of the atom but two, so each such kind of atom is looked at
    once in a process. The two, chirality and hydrogens written in brackets, are looked up in the molecules that have
    them. Molecules with unusual atoms or bonds are read atom by atom.
    """

    def __init__(self) -> None:
        """A builder without molecules."""
        from rdkit import Chem
        from rdkit.Chem import rdMolDescriptors, rdqueries

        self._invariants_of = rdMolDescriptors.GetConnectivityInvariants
        self._bond_orders_of = Chem.GetAdjacencyMatrix
        self._chiral_atom = rdqueries.HasChiralTagQueryAtom()
        self._implicit = Chem.ValenceType.IMPLICIT
        self._texts: list[str] = []
        self._atoms: list[int] = []
        self._invariants: list[int] = []
        self._places: list[NDArray[Any]] = [numpy.empty(0, dtype=numpy.int64)]
        self._orders: list[NDArray[Any]] = [numpy.empty(0)]
        self._plain: dict[int, tuple[list[tuple[int, ...]], list[int]]] = {}
        self._chiral: list[tuple[int, int]] = []
        self._written: list[tuple[int, list[int]]] = []

    def add(self, text: str, molecule: Any) -> None:
        """Add a molecule of at most `MAX_ATOMS` atoms.

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
        elif has_marks:
            if "@" in text:
                found = molecule.GetAtomsMatchingQuery(self._chiral_atom)
                self._chiral += [(first + atom.GetIdx(), _chirality(atom)) for atom in list(found)]
            if "H" in text.replace("[nH]", ""):
                all_atoms = map(molecule.GetAtomWithIdx, range(atoms))
                self._written.append((first, [atom.GetValence(self._implicit) for atom in all_atoms]))
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
        kinds = _AtomKinds(numpy.array(self._invariants, dtype=numpy.uint64), target + shift, source + shift, doubled)
        while len(unknown := kinds.unknown()):
            molecules = numpy.unique(numpy.searchsorted(first_atom, unknown, side="right") - 1)
            for number in molecules.tolist():
                kinds.learn(int(first_atom[number]), self._texts[number])
        codes = kinds.codes()
        if self._chiral:
            places, values = zip(*self._chiral, strict=True)
            codes[list(places), _COLUMN["chirality"]] = values
        for first, valences in self._written:
            codes[first : first + len(valences), _COLUMN["implicit_valence"]] = valences
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


class _Vocabulary:
    """What is known of each kind of atom; row 0 stands for atoms that are read one by one."""

    def __init__(self) -> None:
        self.keys = numpy.zeros(1, dtype=numpy.uint64)
        self.may_conjugate = numpy.zeros(1, dtype=bool)
        self.has_two_neighbors = numpy.zeros(1, dtype=bool)
        self.codes = numpy.zeros((1, 2, len(ATOM_CODE_SIZES)), dtype=numpy.uint8)
        self.has_codes = numpy.ones((1, 2), dtype=bool)

    def rows(self, keys: NDArray[Any]) -> NDArray[Any]:
        """The row of each key, -1 where there is none."""
        rows = numpy.minimum(numpy.searchsorted(self.keys, keys), len(self.keys) - 1)
        return numpy.where(self.keys[rows] == keys, rows, -1)

    def add(self, key: numpy.uint64, atom: Any) -> None:
        place = int(numpy.searchsorted(self.keys, key))
        if place < len(self.keys) and self.keys[place] == key:
            return
        self.keys = numpy.insert(self.keys, place, key)
        self.may_conjugate = numpy.insert(self.may_conjugate, place, _may_conjugate(atom))
        self.has_two_neighbors = numpy.insert(self.has_two_neighbors, place, atom.GetTotalDegree() >= 2)
        self.codes = numpy.insert(self.codes, place, 0, axis=0)
        self.has_codes = numpy.insert(self.has_codes, place, False, axis=0)


_VOCABULARY = _Vocabulary()


class _AtomKinds:
    """The kinds of the atoms of some molecules.

    Attributes:
        conjugated: (E,) uint8, 1 for conjugated bonds, as soon as `unknown` found every kind known.
    """

    def __init__(
        self, invariants: NDArray[Any], target: NDArray[Any], source: NDArray[Any], doubled: NDArray[Any]
    ) -> None:
        self._target, self._source, self._doubled = target, source, doubled
        size = len(invariants)
        sums = numpy.bincount(target, doubled, minlength=size).astype(numpy.uint64)
        aromatic = numpy.bincount(target[doubled == 3], minlength=size).astype(numpy.uint64)
        # RDKit counts neighbors that are hydrogens among an atom's hydrogens.
        degrees = numpy.bincount(target, minlength=size).astype(numpy.uint64)
        keys = invariants | sums << 32 | degrees << 46 | aromatic << 60
        self._keys = numpy.where(invariants > 0, keys, 0).astype(numpy.uint64)

    def unknown(self) -> NDArray[Any]:
        """One atom of each kind that is still unknown."""
        self._rows = _VOCABULARY.rows(self._keys)
        missing = numpy.flatnonzero(self._rows < 0)
        if not len(missing):
            self.conjugated = self._conjugated_bonds()
            touched = numpy.bincount(self._target[self.conjugated > 0], minlength=len(self._keys))
            self._in_conjugation = (touched > 0).astype(numpy.int64)
            missing = numpy.flatnonzero(~_VOCABULARY.has_codes[self._rows, self._in_conjugation])
            kinds = self._keys[missing] * 2 + self._in_conjugation[missing].astype(numpy.uint64)
        else:
            kinds = self._keys[missing]
        return missing[numpy.unique(kinds, return_index=True)[1]]

    def learn(self, first: int, text: str) -> None:
        """Look at the atoms of a molecule, which begin with atom `first`."""
        from rdkit import Chem

        molecule = Chem.MolFromSmiles(text)
        atoms = slice(first, first + molecule.GetNumAtoms())
        rows = self._rows[atoms]
        if (rows < 0).any():
            for place in numpy.flatnonzero(rows < 0).tolist():
                _VOCABULARY.add(self._keys[first + place], molecule.GetAtomWithIdx(place))
            return
        conjugated = self._in_conjugation[atoms]
        for place in numpy.flatnonzero(~_VOCABULARY.has_codes[rows, conjugated]).tolist():
            kind = dict(zip(ATOM_CODE_SIZES, _atom_codes(molecule.GetAtomWithIdx(place)), strict=True))
            # RDKit writes the hydrogen of an aromatic nitrogen as [nH] whatever the SMILES said.
            fixed = kind["aromatic"] and kind["element"] != 6
            kind |= {"chirality": 0, "implicit_valence": 0 if fixed else kind["hydrogens"]}
            _VOCABULARY.codes[rows[place], conjugated[place]] = list(kind.values())
            _VOCABULARY.has_codes[rows[place], conjugated[place]] = True

    def codes(self) -> Any:
        """(A, 10) uint8, with all hydrogens implicit and no chirality."""
        return _VOCABULARY.codes[self._rows, self._in_conjugation]

    def _conjugated_bonds(self) -> Any:
        """RDKit's rule, from what an atom is and what it is bound to.

        A bond is conjugated if it is aromatic, or if one of its two atoms, the center, has another bond such that one
        of these two bonds is multiple, and the center and both of its neighbors may conjugate.
        """
        may = _VOCABULARY.may_conjugate[self._rows]
        is_center = may & _VOCABULARY.has_two_neighbors[self._rows]
        at_target, at_source = may[self._target], may[self._source]
        multiple = self._doubled >= 3
        partners = numpy.bincount(self._target[at_source], minlength=len(may))
        multiples = numpy.bincount(self._target[at_source & multiple], minlength=len(may))
        conjugated = self._doubled == 3
        for center, end in ((self._target, at_source), (self._source, at_target)):
            is_multiple = end & multiple
            other = (is_multiple & (partners[center] > end)) | (end & (multiples[center] > is_multiple))
            conjugated |= is_center[center] & other
        return conjugated.astype(numpy.uint8)


def plain_atom_codes(molecule: Any) -> list[tuple[int, ...]]:
    """The codes of each atom, columns of `ATOM_CODE_SIZES`, read one by one."""
    return [_atom_codes(molecule.GetAtomWithIdx(place)) for place in range(molecule.GetNumAtoms())]


def _atom_codes(atom: Any) -> tuple[int, ...]:
    from rdkit import Chem

    return (
        min(atom.GetAtomicNum(), 118),
        min(atom.GetDegree(), 11),
        min(atom.GetValence(Chem.ValenceType.IMPLICIT), 7),
        max(-MAX_CHARGE, min(MAX_CHARGE, atom.GetFormalCharge())) + MAX_CHARGE,
        min(atom.GetNumRadicalElectrons(), 4),
        min(int(atom.GetHybridization()), 8),
        int(atom.GetIsAromatic()),
        min(atom.GetTotalNumHs(), 5),
        int(atom.IsInRing()),
        _chirality(atom),
    )


def plain_edges(molecule: Any) -> list[tuple[int, int, int]]:
    """Target, source and code of each bond in both directions, sorted, read one by one."""
    rows: list[tuple[int, int, int]] = []
    for bond in map(molecule.GetBondWithIdx, range(molecule.GetNumBonds())):
        begin, end = bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()
        name = str(bond.GetBondType()).lower()
        code = 2 * (BOND_TYPES.index(name) if name in BOND_TYPES else 0) + int(bond.GetIsConjugated())
        rows += [(begin, end, code), (end, begin, code)]
    return sorted(rows)


def _chirality(atom: Any) -> int:
    """0 for none, 1 for R, 2 for S, 3 for a center without such a label.

    RDKit's own tag depends on the order in which the SMILES names the atoms.
    """
    if not int(atom.GetChiralTag()):
        return 0
    return _CHIRALITY.get(atom.GetProp("_CIPCode"), 3) if atom.HasProp("_CIPCode") else 3


def _may_conjugate(atom: Any) -> bool:
    """RDKit's test for atoms that take part in conjugation."""
    from rdkit import Chem

    table = Chem.GetPeriodicTable()
    number, charge, neighbors = atom.GetAtomicNum(), atom.GetFormalCharge(), atom.GetTotalDegree()
    least_valence, outer = table.GetValenceList(number)[0], table.GetNOuterElecs(number)
    if not charge and 0 <= least_valence < atom.GetTotalValence():
        return False
    if number > 10 and outer in (5, 6) and not (outer == 6 and neighbors < 2):
        return False
    # Electrons that the atom can share beyond its single bonds.
    lone = max(outer - table.GetDefaultValence(number) - charge, 0)
    free = table.GetDefaultValence(number) - neighbors + lone - atom.GetNumRadicalElectrons()
    return table.GetDefaultValence(number) > 1 and neighbors <= 3 and free > 0
