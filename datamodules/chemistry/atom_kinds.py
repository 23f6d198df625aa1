"""Kinds of atoms: what RDKit's hash of an atom and its bonds determine, looked up once for each kind."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy
from numpy.typing import NDArray

from datamodules.chemistry.atom_codes import ATOM_CODE_SIZES, implicit_valence, read_atom_codes


class Vocabulary:
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
        """Add a kind of atom.

        Args:
            key: Its key.
            atom: An atom of this kind.
        """
        place = int(numpy.searchsorted(self.keys, key))
        if place < len(self.keys) and self.keys[place] == key:
            return
        self.keys = numpy.insert(self.keys, place, key)
        self.may_conjugate = numpy.insert(self.may_conjugate, place, _may_conjugate(atom))
        self.has_two_neighbors = numpy.insert(self.has_two_neighbors, place, atom.GetTotalDegree() >= 2)
        self.codes = numpy.insert(self.codes, place, 0, axis=0)
        self.has_codes = numpy.insert(self.has_codes, place, False, axis=0)


@lru_cache(maxsize=1)
def vocabulary() -> Vocabulary:
    """The vocabulary of this process."""
    return Vocabulary()


class AtomKinds:
    """The kinds of the atoms of some molecules.

    Attributes:
        conjugated: (E,) uint8, 1 for conjugated bonds, as soon as `unknown` found every kind known.
    """

    def __init__(
        self, invariants: NDArray[Any], target: NDArray[Any], source: NDArray[Any], doubled: NDArray[Any]
    ) -> None:
        self._target, self._source, self._doubled = target, source, doubled
        self._vocabulary = vocabulary()
        size = len(invariants)
        sums = numpy.bincount(target, doubled, minlength=size).astype(numpy.uint64)
        aromatic = numpy.bincount(target[doubled == 3], minlength=size).astype(numpy.uint64)
        # RDKit counts neighbors that are hydrogens among an atom's hydrogens.
        degrees = numpy.bincount(target, minlength=size).astype(numpy.uint64)
        keys = invariants | sums << 32 | degrees << 46 | aromatic << 60
        self._keys = numpy.where(invariants > 0, keys, 0).astype(numpy.uint64)

    def unknown(self) -> NDArray[Any]:
        """One atom of each kind that is still unknown."""
        self._rows = self._vocabulary.rows(self._keys)
        missing = numpy.flatnonzero(self._rows < 0)
        if not len(missing):
            self.conjugated = self._conjugated_bonds()
            touched = numpy.bincount(self._target[self.conjugated > 0], minlength=len(self._keys))
            self._in_conjugation = (touched > 0).astype(numpy.int64)
            missing = numpy.flatnonzero(~self._vocabulary.has_codes[self._rows, self._in_conjugation])
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
                self._vocabulary.add(self._keys[first + place], molecule.GetAtomWithIdx(place))
            return
        conjugated = self._in_conjugation[atoms]
        for place in numpy.flatnonzero(~self._vocabulary.has_codes[rows, conjugated]).tolist():
            atom = molecule.GetAtomWithIdx(place)
            kind = dict(zip(ATOM_CODE_SIZES, read_atom_codes(atom), strict=True))
            kind |= {"chirality": 0, "implicit_valence": implicit_valence(atom)}
            self._vocabulary.codes[rows[place], conjugated[place]] = list(kind.values())
            self._vocabulary.has_codes[rows[place], conjugated[place]] = True

    def codes(self) -> Any:
        """(A, 10) uint8, without chirality and what it does to the implicit valence."""
        return self._vocabulary.codes[self._rows, self._in_conjugation]

    def _conjugated_bonds(self) -> Any:
        """RDKit's rule, from what an atom is and what it is bound to.

        A bond is conjugated if it is aromatic, or if one of its two atoms, the center, has another bond such that one
        of these two bonds is multiple, and the center and both of its neighbors may conjugate.
        """
        may = self._vocabulary.may_conjugate[self._rows]
        is_center = may & self._vocabulary.has_two_neighbors[self._rows]
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
