import sys
from dataclasses import fields

import numpy
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from rdkit import Chem
from rdkit.Chem import rdFingerprintGenerator

from datamodules.chemistry.molecule_features import FeatureSettings, featurise
from datamodules.molecule_batch import MoleculeBatch, MoleculeStore

SMILES = ["CCO", "c1ccccc1O", "C", "[Na+].[Cl-]", "C1CC", "CC(=O)Oc1ccccc1C(=O)O", "C#N"]
SETTINGS = FeatureSettings(2, 256)
FEATURES = featurise(SMILES, SETTINGS)
SINGLES = numpy.arange(len(SMILES)).reshape(-1, 1)
PAIRS = numpy.array([[0, 1], [5, 5], [2, 3], [6, 0], [4, 1]])
TENSORS = [field.name for field in fields(MoleculeBatch) if field.name != "molecules_per_sample"]


def take(rows: list[int], molecules: numpy.ndarray = SINGLES) -> MoleculeBatch:
    """The batch of some rows, numbered from 100, with labels that are the rows."""
    picked = numpy.array(rows, dtype=numpy.int64)
    return MoleculeStore(FEATURES, molecules).batch(picked, numpy.arange(100, 100 + len(rows)), picked)


def concatenated(rows: list[int], molecules: numpy.ndarray) -> dict[str, list[object]]:
    """The same batch by a loop over its molecules, each featurised alone."""
    found: dict[str, list[object]] = {name: [] for name in TENSORS}
    first_atom = 0
    chosen = [SMILES[number] for row in rows for number in molecules[row]]
    for place, smiles in enumerate(chosen):
        alone = {name: array.tolist() for name, array in featurise([smiles], SETTINGS).items()}
        found["atom_codes"] += alone["atom_codes"]
        found["bond_codes"] += alone["bond_codes"]
        found["source"] += [first_atom + atom for atom in alone["source"]]
        found["target"] += [first_atom + atom for atom in alone["target"]]
        found["atoms_per_molecule"] += alone["atoms"]
        found["fingerprint_molecule"] += [place] * alone["entries"][0]
        found["fingerprint_bin"] += alone["bins"]
        found["fingerprint_count"] += alone["counts"]
        first_atom += alone["atoms"][0]
    found["sample_index"] += range(100, 100 + len(rows))
    found["labels"] += rows
    return found


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(0, len(SMILES) - 1), max_size=9))
def test_a_batch_of_molecules_is_their_concatenation(rows: list[int]) -> None:
    batch = take(rows)
    assert {name: getattr(batch, name).tolist() for name in TENSORS} == concatenated(rows, SINGLES)
    assert (len(batch), batch.num_molecules, batch.molecules_per_sample) == (len(rows), len(rows), 1)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(0, len(PAIRS) - 1), max_size=6))
def test_the_molecules_of_a_pair_follow_each_other(rows: list[int]) -> None:
    batch = take(rows, PAIRS)
    assert {name: getattr(batch, name).tolist() for name in TENSORS} == concatenated(rows, PAIRS)
    assert (len(batch), batch.num_molecules, batch.molecules_per_sample) == (len(rows), 2 * len(rows), 2)


@pytest.mark.parametrize("rows", [[], [4], [0, 5, 5, 1]])
def test_types_and_shapes_are_as_documented(rows: list[int]) -> None:
    batch = take(rows)
    types = {name: str(getattr(batch, name).dtype).removeprefix("torch.") for name in TENSORS}
    assert types == {
        **dict.fromkeys(TENSORS, "int64"),
        "atom_codes": "uint8",
        "bond_codes": "uint8",
        "fingerprint_count": "float32",
        "residue_codes": "uint8",
    }
    assert batch.atom_codes.shape == (batch.atoms_per_molecule.sum(), 10)
    assert all(getattr(batch, name).dim() == 1 for name in TENSORS if name != "atom_codes")
    assert batch.source.shape == batch.target.shape == batch.bond_codes.shape
    assert torch.equal(batch.target, batch.target.sort().values)


def test_two_molecules_by_hand() -> None:
    batch = take([6, 0])
    assert batch.atom_codes[:, 0].tolist() == [6, 7, 6, 6, 8]
    assert batch.source.tolist() == [1, 0, 3, 2, 4, 3]
    assert batch.target.tolist() == [0, 1, 2, 3, 3, 4]
    assert batch.molecule_of_atom.tolist() == [0, 0, 1, 1, 1]
    assert batch.labels.tolist() == [6, 0]
    assert batch.sample_index.tolist() == [100, 101]


def test_molecules_without_atoms_own_no_atom() -> None:
    assert take([4, 2, 4, 6]).molecule_of_atom.tolist() == [1, 3, 3]
    assert take([]).molecule_of_atom.tolist() == []


@pytest.mark.parametrize("rows", [[1, 5, 0, 1], [3, 4, 2], []])
def test_fingerprints_are_rdkits_counts(rows: list[int]) -> None:
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=256)
    expected = numpy.zeros((len(rows), 256), dtype=numpy.float32)
    for place, row in enumerate(rows):
        if (FEATURES["atoms"] > 0)[row]:
            expected[place] = generator.GetCountFingerprintAsNumPy(Chem.MolFromSmiles(SMILES[row]))
    dense = take(rows).fingerprints(256)
    assert dense.dtype == torch.float32
    assert dense.tolist() == expected.tolist()


def test_a_batch_does_not_share_memory_with_the_store() -> None:
    batch = take([0, 1])
    for name in TENSORS:
        getattr(batch, name).zero_()
    assert {name: getattr(take([0, 1]), name).tolist() for name in TENSORS} == concatenated([0, 1], SINGLES)


def test_moving_changes_the_device_of_every_tensor_and_nothing_else() -> None:
    batch = take([0, 1], PAIRS)
    moved = batch.to("meta")
    assert {getattr(moved, name).device.type for name in TENSORS} == {"meta"}
    assert moved.molecules_per_sample == 2
    assert {getattr(batch, name).device.type for name in TENSORS} == {"cpu"}
    copied = batch.to(torch.device("cpu"), non_blocking=True)
    assert all(torch.equal(getattr(copied, name), getattr(batch, name)) for name in TENSORS)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_pinned_batches_go_to_the_gpu_and_back() -> None:
    batch = take([0, 5, 1])
    pinned = batch.pin_memory()
    assert all(getattr(pinned, name).is_pinned() for name in TENSORS)
    there = pinned.to("cuda", non_blocking=True)
    assert torch.equal(there.molecule_of_atom.cpu(), batch.molecule_of_atom)
    assert torch.equal(there.fingerprints(256).cpu(), batch.fingerprints(256))
    back = there.to("cpu")
    assert all(torch.equal(getattr(back, name), getattr(batch, name)) for name in TENSORS)


# DGL


@pytest.mark.parametrize("rows", [[0, 1, 5], [2, 2], [4, 0, 4], [3]])
def test_the_dgl_graph_has_the_atoms_and_bonds_of_each_molecule(rows: list[int]) -> None:
    dgl = pytest.importorskip("dgl")
    batch = take(rows)
    graph = batch.to_dgl()
    assert graph.batch_size == len(rows)
    assert graph.batch_num_nodes().tolist() == FEATURES["atoms"][rows].tolist()
    assert graph.batch_num_edges().tolist() == FEATURES["bonds"][rows].tolist()
    assert torch.equal(graph.ndata["codes"], batch.atom_codes)
    assert torch.equal(graph.edata["codes"], batch.bond_codes)
    assert torch.equal(torch.stack(graph.edges()), torch.stack((batch.source, batch.target)))
    for row, single in zip(rows, dgl.unbatch(graph), strict=True):
        alone = take([row])
        assert torch.equal(single.ndata["codes"], alone.atom_codes)
        assert torch.equal(torch.stack(single.edges()), torch.stack((alone.source, alone.target)))


def test_a_dgl_batch_of_pairs_has_a_graph_a_molecule() -> None:
    pytest.importorskip("dgl")
    assert take([0, 2], PAIRS).to_dgl().batch_num_nodes().tolist() == [3, 7, 1, 2]


def test_without_dgl_the_error_names_another_encoder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dgl", None)
    with pytest.raises(RuntimeError, match=r"needs dgl==1\.1\.3.*modules\.encoders\.GIN"):
        take([0]).to_dgl()
