"""Integer codes of atoms and bonds, read from RDKit one by one."""

from __future__ import annotations

from typing import Any

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

_CHIRALITY = {"R": 1, "S": 2}
# B, C, N, O, F, P, S, Cl, Br and I, which a SMILES may name without brackets.
_ORGANIC_SUBSET = frozenset((5, 6, 7, 8, 9, 15, 16, 17, 35, 53))


def plain_atom_codes(molecule: Any) -> list[tuple[int, ...]]:
    """The codes of each atom, columns of `ATOM_CODE_SIZES`, read one by one."""
    return [read_atom_codes(molecule.GetAtomWithIdx(place)) for place in range(molecule.GetNumAtoms())]


def read_atom_codes(atom: Any) -> tuple[int, ...]:
    """The codes of an atom, columns of `ATOM_CODE_SIZES`."""
    chirality = read_chirality(atom)
    return (
        min(atom.GetAtomicNum(), 118),
        min(atom.GetDegree(), 11),
        0 if chirality else implicit_valence(atom),
        max(-MAX_CHARGE, min(MAX_CHARGE, atom.GetFormalCharge())) + MAX_CHARGE,
        min(atom.GetNumRadicalElectrons(), 4),
        min(int(atom.GetHybridization()), 8),
        int(atom.GetIsAromatic()),
        min(atom.GetTotalNumHs(), 5),
        int(atom.IsInRing()),
        chirality,
    )


def implicit_valence(atom: Any) -> int:
    """Number of hydrogens, 7 at most, if a SMILES may leave them unwritten; otherwise 0. Chirality is ignored.

    What the SMILES at hand leaves unwritten depends on who wrote it: nothing in `[CH3:1][OH:2]`, all in `CO`.
    """
    from rdkit import Chem

    number, hydrogens, total = atom.GetAtomicNum(), atom.GetTotalNumHs(), atom.GetTotalValence()
    if (
        number not in _ORGANIC_SUBSET
        or atom.GetFormalCharge()
        or atom.GetIsotope()
        or atom.GetNumRadicalElectrons()
        or (atom.GetIsAromatic() and number != 6)
    ):
        return 0
    # Without brackets, hydrogens fill an atom's bonds up to the next of its usual valences.
    filled = [valence for valence in Chem.GetPeriodicTable().GetValenceList(number) if valence >= total - hydrogens]
    return min(hydrogens, 7) if total in filled[:1] else 0


def plain_edges(molecule: Any) -> list[tuple[int, int, int]]:
    """Target, source and code of each bond in both directions, sorted, read one by one."""
    rows: list[tuple[int, int, int]] = []
    # A bond of an atom is found at once, one of the molecule by counting from its first one.
    for atom in map(molecule.GetAtomWithIdx, range(molecule.GetNumAtoms())):
        for bond in atom.GetBonds():
            begin, end = bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()
            if begin != atom.GetIdx():
                continue
            name = str(bond.GetBondType()).lower()
            code = 2 * (BOND_TYPES.index(name) if name in BOND_TYPES else 0) + int(bond.GetIsConjugated())
            rows += [(begin, end, code), (end, begin, code)]
    return sorted(rows)


def read_chirality(atom: Any) -> int:
    """0 for none, 1 for R, 2 for S, 3 for a center without such a label.

    RDKit's own tag depends on the order in which the SMILES names the atoms.
    """
    if not int(atom.GetChiralTag()):
        return 0
    return _CHIRALITY.get(atom.GetProp("_CIPCode"), 3) if atom.HasProp("_CIPCode") else 3
