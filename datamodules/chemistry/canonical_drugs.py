"""Texts that say whether two SMILES are the same drug."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from datamodules.chemistry.cached_texts import cached_texts
from datamodules.chemistry.molecule_graphs import SmilesReader
from datamodules.chemistry.parent_molecule import ParentFinder, Standardise


def canonical_drugs(smiles: Sequence[str], standardise: Standardise, stereo: bool, cache_folder: Path) -> list[str]:
    """Texts that are equal for the same drug, however its SMILES is written, and only then.

    They are RDKit's canonical SMILES, without atom-map numbers.

    Args:
        smiles: M SMILES.
        standardise: parent takes the parent of each molecule, none the molecule as given.
        stereo: Whether stereoisomers and isotopes are different drugs.
        cache_folder: The cache of texts.

    Returns:
        M texts; "" for a SMILES that RDKit cannot read.
    """
    settings = {"computed": "drugs", "standardise": standardise, "stereo": int(stereo)}
    make = partial(_canonical, standardise=standardise, stereo=stereo)
    return cached_texts(smiles, make, settings, cache_folder, "Comparing")


def drug_molecule(text: str, molecule: Any, find_parent: ParentFinder | None, stereo: bool) -> Any:
    """A molecule without what does not make it another drug.

    Args:
        text: Its SMILES.
        molecule: The molecule that RDKit read from it.
        find_parent: Finds its parent; None for the molecule as given.
        stereo: Whether stereoisomers and isotopes are different drugs.
    """
    from rdkit import Chem

    found = molecule if find_parent is None else find_parent(text, molecule)
    if "[" not in text:
        return found
    found = Chem.Mol(found)
    isotopes = 0
    for atom in found.GetAtoms():
        atom.SetAtomMapNum(0)
        if not stereo and atom.GetIsotope():
            atom.SetIsotope(0)
            isotopes += 1
    # Deuterium is an atom of its own, hydrogen is not.
    return Chem.RemoveHs(found) if isotopes else found


def _canonical(smiles: Sequence[str], standardise: Standardise, stereo: bool) -> list[str]:
    from rdkit import Chem, rdBase

    read, find_parent = SmilesReader(), ParentFinder() if standardise == "parent" else None
    texts = []
    with rdBase.BlockLogs():
        for text in smiles:
            molecule = read(text)
            drug = None if molecule is None else drug_molecule(text, molecule, find_parent, stereo)
            texts.append("" if drug is None else Chem.MolToSmiles(drug, isomericSmiles=stereo))
    return texts
