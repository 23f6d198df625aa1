import sys
from collections.abc import Callable
from dataclasses import fields, is_dataclass, replace
from typing import Any

import numpy
import polars
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from rdkit import Chem
from rdkit.Chem import rdFingerprintGenerator

from datamodules.batch import Batch
from datamodules.chemistry.molecule_features import FeatureSettings, featurize
from datamodules.chemistry.protein_sequences import ProteinSequences
from datamodules.sample_store import SampleMolecules, SampleStore
from datamodules.tables.sample_arrays import SampleArrays
from tests.datamodules.batch_parts import fingerprints, graphs

SMILES = ["CCO", "c1ccccc1O", "C", "[Na+].[Cl-]", "C1CC", "CC(=O)Oc1ccccc1C(=O)O", "C#N"]
SETTINGS = FeatureSettings(2, 256)
FEATURES = featurize(SMILES, SETTINGS)
SINGLES = numpy.arange(len(SMILES)).reshape(-1, 1)
PAIRS = numpy.array([[0, 1], [5, 5], [2, 3], [6, 0], [4, 1]])


def take(rows: list[int], molecules: NDArray[Any] = SINGLES) -> Batch:
    """The batch of some rows, numbered from 100, with labels that are the rows."""
    picked = numpy.array(rows, dtype=numpy.int64)
    store = SampleStore(SampleMolecules(FEATURES, molecules, SETTINGS.fingerprint_width))
    return store.batch(picked, numpy.arange(100, 100 + len(rows)), picked)


def tensors(group: Any, name: str = "") -> dict[str, torch.Tensor]:
    """All tensors of a batch by name; those of a part have its name before theirs."""
    found: dict[str, torch.Tensor] = {}
    for field in fields(group):
        value, full = getattr(group, field.name), f"{name}{field.name}"
        if isinstance(value, torch.Tensor):
            found[full] = value
        elif is_dataclass(value):
            found |= tensors(value, f"{full}.")
    return found


def lists(batch: Batch) -> dict[str, list[object]]:
    return {name: tensor.tolist() for name, tensor in tensors(batch).items()}


def concatenated(rows: list[int], molecules: NDArray[Any]) -> dict[str, list[object]]:
    """The same batch by a loop over its molecules, each featurized alone."""
    found: dict[str, list[object]] = {name: [] for name in TENSORS}
    first_atom = 0
    chosen = [SMILES[number] for row in rows for number in molecules[row]]
    for place, smiles in enumerate(chosen):
        alone = {name: array.tolist() for name, array in featurize([smiles], SETTINGS).to_arrays().items()}
        found["molecules.atom_codes"] += alone["atom_codes"]
        found["molecules.bond_codes"] += alone["bond_codes"]
        found["molecules.source"] += [first_atom + atom for atom in alone["source"]]
        found["molecules.target"] += [first_atom + atom for atom in alone["target"]]
        found["molecules.atoms_per_molecule"] += alone["atom_counts"]
        found["fingerprints.molecule"] += [place] * alone["entry_counts"][0]
        found["fingerprints.bin"] += alone["bins"]
        found["fingerprints.count"] += alone["counts"]
        first_atom += alone["atom_counts"][0]
    found["sample_index"] += range(100, 100 + len(rows))
    found["labels"] += rows
    return found


TENSORS = list(tensors(take([0])))


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(0, len(SMILES) - 1), max_size=9))
def test_a_batch_of_molecules_is_their_concatenation(rows: list[int]) -> None:
    batch = take(rows)
    assert lists(batch) == concatenated(rows, SINGLES)
    assert (len(batch), len(graphs(batch))) == (len(rows), len(rows))


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(0, len(PAIRS) - 1), max_size=6))
def test_the_molecules_of_a_pair_follow_each_other(rows: list[int]) -> None:
    batch = take(rows, PAIRS)
    assert lists(batch) == concatenated(rows, PAIRS)
    assert (len(batch), len(graphs(batch))) == (len(rows), 2 * len(rows))
    assert fingerprints(batch).shape == (2 * len(rows), 256)


@pytest.mark.parametrize("rows", [[], [4], [0, 5, 5, 1]])
def test_types_and_shapes_are_as_documented(rows: list[int]) -> None:
    batch = take(rows)
    types = {name: str(tensor.dtype).removeprefix("torch.") for name, tensor in tensors(batch).items()}
    assert types == {
        **dict.fromkeys(TENSORS, "int64"),
        "molecules.atom_codes": "uint8",
        "molecules.bond_codes": "uint8",
        "fingerprints.count": "float32",
    }
    molecules = graphs(batch)
    assert molecules.atom_codes.shape == (molecules.atoms_per_molecule.sum(), 10)
    assert all(tensor.dim() == 1 for name, tensor in tensors(batch).items() if name != "molecules.atom_codes")
    assert molecules.source.shape == molecules.target.shape == molecules.bond_codes.shape
    assert torch.equal(molecules.target, molecules.target.sort().values)
    assert batch.proteins is None
    assert batch.arrays is None
    assert batch.vectors is None


@pytest.mark.parametrize("rows", [[], [4], [0, 4, 4, 1]])
def test_each_molecule_has_its_pretrained_vector(rows: list[int]) -> None:
    vectors = numpy.random.default_rng(0).normal(size=(len(SMILES), 3)).astype(numpy.float32)
    store = SampleStore(SampleMolecules(replace(FEATURES, vectors=vectors), PAIRS, SETTINGS.fingerprint_width))
    found = store.batch(numpy.array(rows, dtype=numpy.int64), numpy.array(rows), numpy.array(rows)).vectors
    assert found is not None
    assert found.tolist() == vectors[PAIRS[rows].reshape(-1)].tolist() if rows else found.shape == (0, 3)


def test_two_molecules_by_hand() -> None:
    batch = take([6, 0])
    molecules = graphs(batch)
    assert molecules.atom_codes[:, 0].tolist() == [6, 7, 6, 6, 8]
    assert molecules.source.tolist() == [1, 0, 3, 2, 4, 3]
    assert molecules.target.tolist() == [0, 1, 2, 3, 3, 4]
    assert molecules.molecule_of_atom.tolist() == [0, 0, 1, 1, 1]
    assert batch.labels.tolist() == [6, 0]
    assert batch.sample_index.tolist() == [100, 101]


def test_molecules_without_atoms_own_no_atom() -> None:
    assert graphs(take([4, 2, 4, 6])).molecule_of_atom.tolist() == [1, 3, 3]
    assert graphs(take([])).molecule_of_atom.tolist() == []


@pytest.mark.parametrize("rows", [[1, 5, 0, 1], [3, 4, 2], []])
def test_fingerprints_are_rdkits_counts(rows: list[int]) -> None:
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=256)
    expected = numpy.zeros((len(rows), 256), dtype=numpy.float32)
    for place, row in enumerate(rows):
        if FEATURES.graphs.atom_counts[row]:
            expected[place] = generator.GetCountFingerprintAsNumPy(Chem.MolFromSmiles(SMILES[row]))
    dense = fingerprints(take(rows)).dense()
    assert dense.dtype == torch.float32
    assert dense.tolist() == expected.tolist()


def test_a_batch_does_not_share_memory_with_the_store() -> None:
    batch = take([0, 1])
    for tensor in tensors(batch).values():
        tensor.zero_()
    assert lists(take([0, 1])) == concatenated([0, 1], SINGLES)


def with_proteins() -> Batch:
    sequences = ProteinSequences(polars.Series(["MKV", "AC", "MKV"]))
    store = SampleStore(SampleMolecules(FEATURES, SINGLES[:3], SETTINGS.fingerprint_width), sequences)
    rows = numpy.array([2, 1, 0])
    return store.batch(rows, rows, rows)


def test_proteins_stand_beside_the_molecules() -> None:
    batch = with_proteins()
    assert batch.proteins is not None
    assert batch.proteins.residues_per_protein.tolist() == [3, 2]
    assert batch.proteins.residue_codes.tolist() == [ord(letter) - ord("A") for letter in "MKVAC"]
    assert batch.proteins.protein_of_sample.tolist() == [0, 1, 0]
    assert graphs(batch).atoms_per_molecule.tolist() == [1, 7, 3]


def some_arrays() -> Batch:
    dense = numpy.array([[0, 1.5, 0], [2, 0, -3], [0, 0, 0]], dtype=numpy.float32)
    rows, bins = dense.nonzero()
    starts = numpy.searchsorted(rows, numpy.arange(4))
    arrays = SampleArrays((3,), starts, bins.astype(numpy.uint16), dense[rows, bins])
    picked = numpy.array([1, 2, 0, 1])
    return SampleStore(arrays=arrays).batch(picked, picked, picked)


def test_arrays_are_dense_and_alone() -> None:
    batch = some_arrays()
    assert batch.arrays is not None
    assert batch.arrays.dtype == torch.float32
    assert batch.arrays.tolist() == [[2, 0, -3], [0, 0, 0], [0, 1.5, 0], [2, 0, -3]]
    assert (batch.molecules, batch.fingerprints, batch.proteins) == (None, None, None)


@pytest.mark.parametrize("make", [lambda: take([0, 1], PAIRS), with_proteins, some_arrays])
def test_moving_changes_the_device_of_every_tensor_and_nothing_else(make: Callable[[], Batch]) -> None:
    batch = make()
    moved = batch.to("meta")
    assert {tensor.device.type for tensor in tensors(moved).values()} == {"meta"}
    assert tensors(moved).keys() == tensors(batch).keys()
    assert {tensor.device.type for tensor in tensors(batch).values()} == {"cpu"}
    if batch.fingerprints is not None:
        assert fingerprints(moved).shape == batch.fingerprints.shape
    assert lists(batch.to(torch.device("cpu"), non_blocking=True)) == lists(batch)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("make", [lambda: take([0, 5, 1]), with_proteins, some_arrays])
def test_pinned_batches_go_to_the_gpu_and_back(make: Callable[[], Batch]) -> None:
    batch = make()
    pinned = batch.pin_memory()
    assert all(tensor.is_pinned() for tensor in tensors(pinned).values())
    there = pinned.to("cuda", non_blocking=True)
    if batch.molecules is not None:
        assert torch.equal(graphs(there).molecule_of_atom.cpu(), batch.molecules.molecule_of_atom)
        assert torch.equal(fingerprints(there).dense().cpu(), fingerprints(batch).dense())
    assert lists(there.to("cpu")) == lists(batch)


# DGL


@pytest.mark.parametrize("rows", [[0, 1, 5], [2, 2], [4, 0, 4], [3]])
def test_the_dgl_graph_has_the_atoms_and_bonds_of_each_molecule(rows: list[int]) -> None:
    dgl = pytest.importorskip("dgl")
    batch = graphs(take(rows))
    graph = batch.to_dgl()
    assert graph.batch_size == len(rows)
    assert graph.batch_num_nodes().tolist() == FEATURES.graphs.atom_counts[rows].tolist()
    assert graph.batch_num_edges().tolist() == FEATURES.graphs.bond_counts[rows].tolist()
    assert torch.equal(graph.ndata["codes"], batch.atom_codes)
    assert torch.equal(graph.edata["codes"], batch.bond_codes)
    assert torch.equal(torch.stack(graph.edges()), torch.stack((batch.source, batch.target)))
    for row, single in zip(rows, dgl.unbatch(graph), strict=True):
        alone = graphs(take([row]))
        assert torch.equal(single.ndata["codes"], alone.atom_codes)
        assert torch.equal(torch.stack(single.edges()), torch.stack((alone.source, alone.target)))


def test_a_dgl_batch_of_pairs_has_a_graph_a_molecule() -> None:
    pytest.importorskip("dgl")
    assert graphs(take([0, 2], PAIRS)).to_dgl().batch_num_nodes().tolist() == [3, 7, 1, 2]


def test_without_dgl_the_error_names_another_encoder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dgl", None)
    with pytest.raises(RuntimeError, match=r"needs dgl==1\.1\.3.*modules\.encoders\.GIN"):
        graphs(take([0])).to_dgl()
