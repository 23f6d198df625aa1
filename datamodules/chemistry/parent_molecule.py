"""The parent of a molecule: what is left of a salt, without charges that protons explain."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Literal

Standardise = Literal["none", "parent"]

# The metal of a salt, with an isotope, a map number or hydrogens, or as an atomic number.
_SALT = r"\[(?:\d*(?:Li|Na|K|Rb|Cs|Mg|Ca|Sr|Ba)(?![a-z])|#)"
_MAY_HAVE_SALT = re.compile(_SALT)
# Without components, charges and bonds to the metals of salts, a molecule is its own parent. Outside of brackets, a
# minus is a bond.
_MAY_HAVE_PARENT = re.compile(rf"\.|\[[^]]*[+-]|{_SALT}")
# All that RDKit changes: a cation with a hydrogen, and an anion without a cation beside it. A nitro group has neither.
_NOT_NEUTRAL = "[+,+2,+3,+4;!h0]", "[-,-2,-3,-4;!$(*~[+,+2,+3,+4])]"
_SALT_METAL = "[Li,Na,K,Rb,Cs,Mg,Ca,Sr,Ba]"


class ParentFinder:
    """Finds the parent of a molecule with RDKit's `rdMolStandardize`.

    Bonds of alkali and alkaline earth metals to N, O, S and halogens are cut, and the largest organic component is
    taken and neutralized by adding or removing protons. A molecule without an organic component is its own parent;
    carbonates, cyanides and the like are inorganic.
    """

    def __init__(self) -> None:
        """Create the finder."""
        from rdkit import Chem
        from rdkit.Chem.MolStandardize import rdMolStandardize

        self._choose = rdMolStandardize.LargestFragmentChooser(preferOrganic=True).choose
        self._neutralize = rdMolStandardize.Uncharger().uncharge
        disconnector = rdMolStandardize.MetalDisconnector()
        disconnector.SetMetalNof(Chem.MolFromSmarts(f"{_SALT_METAL}~[#7,#8,F]"))
        disconnector.SetMetalNon(Chem.MolFromSmarts(f"{_SALT_METAL}~[S,Cl,Br,I]"))
        self._disconnect = disconnector.Disconnect
        self._metal = Chem.MolFromSmarts(f"{_SALT_METAL}-,=[!#6]")
        self._carbons = Chem.MolFromSmarts("[#6]~[#6]")
        self._not_neutral = list(map(Chem.MolFromSmarts, _NOT_NEUTRAL))

    def find_component(self, text: str, molecule: Any) -> tuple[int, ...] | None:
        """The atoms of the parent, if it is a component that needs no change and is the largest beyond doubt.

        This is much faster than to make the parent.

        Args:
            text: SMILES of the molecule.
            molecule: The molecule that RDKit read from it.
        """
        from rdkit import Chem

        if "." not in text or _MAY_HAVE_SALT.search(text):
            return None
        largest = _largest(molecule, Chem.GetMolFrags(molecule))
        if largest is None:
            return None
        atoms = [molecule.GetAtomWithIdx(place) for place in largest]
        is_organic = sum(atom.GetAtomicNum() == 6 for atom in atoms) > 1
        return largest if is_organic and not any(atom.GetFormalCharge() for atom in atoms) else None

    def __call__(self, text: str, molecule: Any) -> Any:
        """The parent of a molecule, or the molecule itself if it is its own parent.

        Args:
            text: Its SMILES.
            molecule: The molecule that RDKit read from it.
        """
        if not _MAY_HAVE_PARENT.search(text):
            return molecule
        component = self.find_component(text, molecule)
        if component is not None:
            return _fragment(molecule, component)
        found = molecule
        if found.HasSubstructMatch(self._metal):
            found = self._disconnect(found)
        if "." in text or found is not molecule:
            found = self._choose(found)
        if not found.HasSubstructMatch(self._carbons) and not _is_organic(found):
            return molecule
        if any(found.HasSubstructMatch(pattern) for pattern in self._not_neutral):
            found = self._neutralize(found)
        return found


def _largest(molecule: Any, components: Sequence[tuple[int, ...]]) -> tuple[int, ...] | None:
    """The component with the most atoms, with hydrogens, as RDKit counts them; None if there is no single one."""
    if len(components) < 2:
        return None
    largest, second = sorted(components, key=len, reverse=True)[:2]
    # In an organic component, an atom has four hydrogens in the mean at most.
    if len(largest) > 5 * len(second):
        return largest
    sizes = [1 + atom.GetTotalNumHs() for atom in molecule.GetAtoms()]
    counted = [sum(sizes[place] for place in own) for own in components]
    most = max(counted)
    return components[counted.index(most)] if counted.count(most) == 1 else None


def _fragment(molecule: Any, component: tuple[int, ...]) -> Any:
    from rdkit import Chem

    place = Chem.GetMolFrags(molecule).index(component)
    # What was sanitized as a whole is so in its parts, but for the rings.
    fragment = Chem.GetMolFrags(molecule, asMols=True, sanitizeFrags=False)[place]
    Chem.GetSymmSSSR(fragment)
    return fragment


def _is_organic(molecule: Any) -> bool:
    """Whether there is carbon other than in carbonate, cyanide, carbon dioxide and the like."""
    carbons = [atom for atom in molecule.GetAtoms() if atom.GetAtomicNum() == 6]
    if len(carbons) != 1:
        return bool(carbons)
    others = [atom for atom in molecule.GetAtoms() if atom.GetAtomicNum() != 6]
    bare = all(atom.GetAtomicNum() in (7, 8, 16) and atom.GetDegree() <= 1 for atom in others)
    has_hydrogen = any(atom.GetAtomicNum() in (6, 7) and atom.GetTotalNumHs() for atom in molecule.GetAtoms())
    return has_hydrogen or not bare
