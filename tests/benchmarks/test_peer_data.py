"""What the peers are fitted on."""

from __future__ import annotations

from pathlib import Path

import numpy
import pytest
from rdkit import Chem
from rdkit.Chem import Descriptors

from benchmarks.peer_data import DESCRIPTORS, PeerData, peer_data
from datamodules.splits.splitters import SPLIT_NAMES
from tests.datamodules.array_file import array_module, blobs
from tests.datamodules.drug_module import data_module

PAIRS = "first,second,label\n" + "".join(
    f"{'C' * size}{end},O{'C' * other},{end}\n" for size in range(1, 8) for other in (1, 2, 3) for end in ("O", "N")
)


def described(text: str) -> list[float]:
    """The descriptors of a SMILES."""
    molecule = Chem.MolFromSmiles(text)
    return [getattr(Descriptors, name)(molecule) for name in DESCRIPTORS]


def made(folder: Path, table: str, **settings: object) -> PeerData:
    module = data_module(folder, table, **settings)
    module.setup("fit")
    return peer_data(module)


def test_descriptors_of_ethanol_are_those_of_a_textbook(tmp_path: Path) -> None:
    table = "smiles,label\n" + "".join(f"{'C' * size}{end},{end}\n" for size in range(1, 21) for end in ("O", "N"))
    data = made(tmp_path, table)
    ethanol = next(
        values
        for split in SPLIT_NAMES
        for text, values in zip(data.smiles[split]["molecule_1"], data.descriptors[split], strict=True)
        if text == "CCO"
    )
    found = dict(zip(DESCRIPTORS, ethanol, strict=True))
    assert found["MolWt"] == pytest.approx(46.07, abs=0.01)
    assert [found[name] for name in ("NumHDonors", "HeavyAtomCount", "NumHeteroatoms", "RingCount")] == [1, 3, 1, 0]
    assert found["FractionCSP3"] == 1


@pytest.mark.parametrize("kind", ["pair", "reaction"])
def test_two_molecules_are_joined_or_subtracted(tmp_path: Path, kind: str) -> None:
    settings = {"input": kind, "smiles_columns": ["first", "second"], "fingerprint_size": 64}
    data = made(tmp_path, PAIRS, **settings, **({"ordered_pairs": True} if kind == "pair" else {}))
    assert [data.features[split].shape[0] for split in SPLIT_NAMES] == [len(data.codes[split]) for split in SPLIT_NAMES]
    for split in SPLIT_NAMES:
        for (first, second), values in zip(data.smiles[split].rows(), data.descriptors[split], strict=True):
            both = numpy.array([described(first), described(second)])
            expected = both.ravel() if kind == "pair" else both[1] - both[0]
            assert values == pytest.approx(expected)
    assert data.features["train"].shape[1] == (128 if kind == "pair" else 64)


def test_arrays_have_neither_descriptors_nor_smiles(tmp_path: Path) -> None:
    values, labels = blobs()
    module = array_module(tmp_path, features=values, labels=labels)
    module.setup("fit")
    data = peer_data(module)
    assert numpy.array_equal(data.features["test"].toarray(), values[module.records.rows["test"]])
    assert data.descriptors["test"].shape == (len(module.records.rows["test"]), 0)
    assert not data.has_molecules
