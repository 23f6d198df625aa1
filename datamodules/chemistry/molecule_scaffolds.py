"""Scaffolds: the ring systems of molecules with their linkers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy

from datamodules.chemistry.molecule_graphs import SmilesReader
from datamodules.feature_cache import Arrays, cache_key, cached_arrays
from datamodules.part_files import write_parts


def murcko_scaffolds(smiles: Sequence[str], cache_folder: Path) -> list[str]:
    """The Bemis-Murcko scaffold of each molecule (J. Med. Chem. 1996, 39, 2887), without stereochemistry.

    Args:
        smiles: M SMILES.
        cache_folder: The cache of scaffolds.

    Returns:
        Canonical SMILES; "" for a molecule that has no ring or that RDKit cannot read.
    """
    import rdkit

    key = cache_key(smiles, {"computed": "scaffolds", "rdkit": rdkit.__version__})
    arrays = cached_arrays(cache_folder, key, lambda folder: write_parts(smiles, _scaffolds, folder, "Scaffolds"))
    text, ends = arrays["text"].tobytes(), numpy.cumsum(arrays["letters"])
    spans = zip((ends - arrays["letters"]).tolist(), ends.tolist(), strict=True)
    return [text[start:end].decode() for start, end in spans]


def _scaffolds(smiles: Sequence[str]) -> Arrays:
    """`text` (T,) uint8, the scaffolds end to end, and `letters` (M,) int64, the length of each."""
    from rdkit import Chem, rdBase
    from rdkit.Chem.Scaffolds import MurckoScaffold

    read = SmilesReader()
    scaffold_of: Any = MurckoScaffold.GetScaffoldForMol
    texts: list[bytes] = []
    with rdBase.BlockLogs():
        for given in smiles:
            molecule = read(given)
            scaffold = None if molecule is None else scaffold_of(molecule)
            texts.append(b"" if scaffold is None else Chem.MolToSmiles(scaffold, isomericSmiles=False).encode())
    return {
        "text": numpy.frombuffer(b"".join(texts), dtype=numpy.uint8),
        "letters": numpy.array([len(text) for text in texts], dtype=numpy.int64),
    }
