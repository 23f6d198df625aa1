import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from datamodules.batch import Batch
from datamodules.drug_task import DrugTask
from modules.encoders import FingerprintMLP
from modules.training.views import edge_drop_probabilities, make_view
from tests.datamodules.batch_parts import fingerprints, graphs

MakeBatch = Callable[[list[list[str]]], Batch]
MakeTask = Callable[[str], DrugTask]

SMILES = ["CC(=O)Oc1ccccc1C(=O)O", "CC(C)(C)O", "C1CCCCC1N", "C", "[Na+].[Cl-]", "CN1C=NC2=C1C(=O)N(C(=O)N2C)C"]


@pytest.fixture(scope="module")
def large(make_batch: MakeBatch) -> Batch:
    return make_batch([[smiles] for smiles in SMILES * 100])


def edges(batch: Batch) -> list[tuple[int, int, int]]:
    bonds = graphs(batch)
    columns = (bonds.source.tolist(), bonds.target.tolist(), bonds.bond_codes.tolist())
    return list(zip(*columns, strict=True))


def entries(batch: Batch) -> list[tuple[int, int, float]]:
    counts = fingerprints(batch)
    columns = (counts.molecule.tolist(), counts.bin.tolist(), counts.count.tolist())
    return list(zip(*columns, strict=True))


def looped_probabilities(target: list[int], probability: float) -> list[float]:
    score = [math.log(target.count(atom)) for atom in target]
    if len({target.count(atom) for atom in target}) == 1:
        return [min(probability, 0.7)] * len(target)
    spread = max(score) - sum(score) / len(score)
    weight = [(max(score) - value) / spread for value in score]
    return [min(value / (sum(weight) / len(weight)) * probability, 0.7) for value in weight]


def test_a_chain_of_three_by_hand() -> None:
    # Both outer atoms have degree 1, w = 2, and the middle atom has degree 2, w = 0.
    chain = torch.tensor([0, 1, 1, 2])
    torch.testing.assert_close(edge_drop_probabilities(chain, 3, 0.15), torch.tensor([0.3, 0.0, 0.0, 0.3]))
    torch.testing.assert_close(edge_drop_probabilities(chain, 3, 0.5), torch.tensor([0.7, 0.0, 0.0, 0.7]))


@settings(max_examples=50, deadline=None)
@given(target=st.lists(st.integers(0, 9), min_size=1, max_size=40).map(sorted), probability=st.floats(0.0, 0.6))
def test_probabilities_equal_a_loop_and_have_the_requested_mean(target: list[int], probability: float) -> None:
    actual = edge_drop_probabilities(torch.tensor(target), 12, probability)
    expected = torch.tensor(looped_probabilities(target, probability))
    torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-6)
    assert actual.min() >= 0
    assert actual.max() <= torch.tensor(0.7)
    if expected.max() < 0.699:
        assert actual.mean().item() == pytest.approx(probability, abs=1e-5)
    else:
        assert actual.mean().item() <= probability + 1e-5


@pytest.mark.parametrize("degree", [1, 2, 3, 4])
def test_equal_degrees_give_the_probability_itself_whatever_the_number_of_edges(degree: int) -> None:
    for num_atoms in range(1, 60):
        target = torch.arange(num_atoms).repeat_interleave(degree)
        actual = edge_drop_probabilities(target, num_atoms, 0.15)
        torch.testing.assert_close(actual, torch.full((num_atoms * degree,), 0.15))


def test_a_graph_without_edges_has_no_probabilities() -> None:
    assert edge_drop_probabilities(torch.empty(0, dtype=torch.int64), 3, 0.15).shape == (0,)


def test_a_view_keeps_the_atoms_and_a_sorted_part_of_the_edges(large: Batch) -> None:
    torch.manual_seed(0)
    view = make_view(large, 0.15)
    for name in ("atom_codes", "atoms_per_molecule"):
        assert torch.equal(getattr(graphs(view), name), getattr(graphs(large), name))
    for name in ("sample_index", "labels"):
        assert torch.equal(getattr(view, name), getattr(large, name))
    bonds = graphs(view)
    assert (bonds.target.diff() >= 0).all()
    assert set(edges(view)) < set(edges(large))
    assert len(set(edges(view))) == len(bonds.target)
    assert set(entries(view)) < set(entries(large))
    assert len(bonds.bond_codes) == len(bonds.source) == len(bonds.target)


def assert_close_to_drawn(dropped: int, probabilities: Tensor) -> None:
    """Within four standard deviations of a sum of independent draws."""
    deviation = (probabilities * (1 - probabilities)).sum().sqrt().item()
    assert abs(dropped - probabilities.sum().item()) < 4 * deviation


@pytest.mark.parametrize("probability", [0.1, 0.15, 0.4])
def test_the_shares_dropped_are_close_to_the_probability(large: Batch, probability: float) -> None:
    torch.manual_seed(1)
    view = make_view(large, probability)
    whole, bins = graphs(large), fingerprints(large).bin
    drop = edge_drop_probabilities(whole.target, len(whole.atom_codes), probability)
    assert_close_to_drawn(len(whole.target) - len(graphs(view).target), drop)
    assert_close_to_drawn(len(bins) - len(fingerprints(view).bin), torch.full((len(bins),), probability))


def test_edges_into_atoms_of_low_degree_are_dropped_most(large: Batch) -> None:
    torch.manual_seed(2)
    view = make_view(large, 0.15)
    num_atoms = len(graphs(large).atom_codes)
    degree = torch.bincount(graphs(large).target, minlength=num_atoms)
    kept = torch.bincount(graphs(view).target, minlength=num_atoms)
    shares = [1 - kept[degree == value].sum() / degree[degree == value].sum() for value in (1, 2, 3, 4)]
    assert shares[0] > shares[1] > shares[2] > shares[3] == 0


def test_the_two_directions_of_a_bond_are_dropped_independently(large: Batch) -> None:
    torch.manual_seed(3)
    kept = {(source, target) for source, target, _ in edges(make_view(large, 0.15))}
    drop = edge_drop_probabilities(graphs(large).target, len(graphs(large).atom_codes), 0.15)
    probability = {(s, t): p for (s, t, _), p in zip(edges(large), drop.tolist(), strict=True)}
    bonds = [(source, target) for source, target in probability if source < target]
    both = torch.tensor([probability[s, t] * probability[t, s] for s, t in bonds])
    assert_close_to_drawn(sum((s, t) not in kept and (t, s) not in kept for s, t in bonds), both)


def test_the_seed_of_torch_decides_the_view(large: Batch) -> None:
    views = []
    for seed in (7, 7, 8):
        torch.manual_seed(seed)
        views.append(make_view(large, 0.15))
    first, same, other = views
    assert edges(first) == edges(same)
    assert entries(first) == entries(same)
    assert edges(first) != edges(other)
    assert entries(first) != entries(other)


def test_a_bin_is_dropped_from_both_molecules_of_a_sample(make_batch: MakeBatch, make_task: MakeTask) -> None:
    batch = make_batch([[smiles, smiles] for smiles in SMILES * 10])
    torch.manual_seed(4)
    view = make_view(batch, 0.3)
    assert 0 < len(fingerprints(view).bin) < len(fingerprints(batch).bin)
    counts = fingerprints(view).dense()
    assert torch.equal(counts[0::2], counts[1::2])
    # Samples of equal molecules have independent draws.
    assert not torch.equal(counts[:12], counts[12:24])
    encoder = FingerprintMLP([8])
    encoder.build(make_task("reaction"))
    encoder.eval()
    torch.testing.assert_close(encoder(view), encoder(view)[:1].expand(len(batch), -1))


def test_probability_zero_keeps_everything(large: Batch) -> None:
    view = make_view(large, 0.0)
    assert edges(view) == edges(large)
    assert entries(view) == entries(large)


def test_a_batch_without_edges_is_unchanged(make_batch: MakeBatch) -> None:
    batch = make_batch([["C"], ["[Na+].[Cl-]"]])
    view = make_view(batch, 0.15)
    bonds = graphs(view)
    assert len(bonds.target) == len(bonds.source) == len(bonds.bond_codes) == 0
    assert torch.equal(bonds.atom_codes, graphs(batch).atom_codes)


@pytest.mark.parametrize("probability", [-0.1, 1.0, 1.5, float("nan")])
def test_a_probability_out_of_range_is_refused(make_batch: MakeBatch, probability: float) -> None:
    with pytest.raises(ValueError, match=f"probability: expected a number from 0 to below 1, got {probability}"):
        make_view(make_batch([["CCO"]]), probability)
