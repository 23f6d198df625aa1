"""Scaffolds: the ring systems of molecules with their linkers."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from datamodules.chemistry.cached_texts import cached_texts
from datamodules.chemistry.canonical_drugs import drug_molecule
from datamodules.chemistry.molecule_graphs import SmilesReader
from datamodules.chemistry.parent_molecule import ParentFinder, Standardise


def murcko_scaffolds(smiles: Sequence[str], standardise: Standardise, cache_folder: Path) -> list[str]:
    """The Bemis-Murcko scaffold of each drug (J. Med. Chem. 1996, 39, 2887), without stereochemistry.

    Args:
        smiles: M SMILES.
        standardise: parent takes the scaffold of the parent of each molecule, none that of the molecule as given.
        cache_folder: The cache of scaffolds.

    Returns:
        Canonical SMILES; "" for a molecule that has no ring or that RDKit cannot read.
    """
    settings = {"computed": "scaffolds", "standardise": standardise}
    return cached_texts(smiles, partial(_scaffolds, standardise=standardise), settings, cache_folder, "Scaffolds")


def _scaffolds(smiles: Sequence[str], standardise: Standardise) -> list[str]:
    from rdkit import Chem, rdBase
    from rdkit.Chem.Scaffolds import MurckoScaffold

    read, find_parent = SmilesReader(), ParentFinder() if standardise == "parent" else None
    scaffold_of: Any = MurckoScaffold.GetScaffoldForMol
    texts = []
    with rdBase.BlockLogs():
        for text in smiles:
            molecule = read(text)
            if molecule is None:
                texts.append("")
                continue
            scaffold = scaffold_of(drug_molecule(text, molecule, find_parent, stereo=False))
            texts.append(Chem.MolToSmiles(scaffold, isomericSmiles=False))
    return texts
