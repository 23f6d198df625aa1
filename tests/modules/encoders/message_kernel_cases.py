"""Cases of `test_message_kernel.py`, which runs them in a process with Triton's interpreter."""

from __future__ import annotations

from collections.abc import Callable

import numpy
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from datamodules.chemistry.molecule_features import FeatureSettings, featurize
from datamodules.drug_task import DrugTask
from datamodules.sample_store import SampleMolecules, SampleStore
from modules.encoders import aggregation, message_kernel
from modules.encoders.aggregation import EdgeRows, MessageSum, NeighborSum, sum_by_molecule
from modules.encoders.encoder import Encoder
from modules.encoders.gcn import GCN
from modules.encoders.gin import GIN
from tests.modules.encoders.test_aggregation import BOND_CODES, random_graph

# Rounding to bfloat16, of the inputs and of the sum, is at most 1/256 of a number; a sum has the rounding of its terms.
TOLERANCES = {torch.float32: 1e-5, torch.bfloat16: 1 / 128, torch.float16: 1 / 1024}

TASK = DrugTask("molecule", ("a", "b"), (1, 1), FeatureSettings())

graphs = st.tuples(st.integers(0, 10_000), st.integers(1, 40), st.integers(0, 90), st.sampled_from([1, 3, 16, 130]))
types = st.sampled_from(list(TOLERANCES))


@pytest.fixture(autouse=True)
def _kernel_on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aggregation, "_kernel", lambda device: message_kernel)


def kernel_message_sum(graph: tuple[Tensor, Tensor, Tensor], atoms: Tensor, bonds: Tensor) -> Tensor:
    (source, target, codes), number = graph, len(atoms)
    counts = torch.zeros(number, BOND_CODES).index_put_((target, codes.long()), torch.ones(()), accumulate=True)
    starts, sources, starts_back, targets = EdgeRows.of(source, target, number)
    total: Tensor = message_kernel.message_sum(atoms, bonds, starts, sources, codes, starts_back, targets, counts)
    return total


def matrices(graph: tuple[Tensor, Tensor, Tensor], number: int) -> tuple[Tensor, Tensor]:
    """Adjacency and counts of bond codes as dense float64 matrices."""
    source, target, codes = graph
    adjacency = torch.zeros(number, number, dtype=torch.float64)
    counts = torch.zeros(number, BOND_CODES, dtype=torch.float64)
    for from_atom, to_atom, code in zip(source.tolist(), target.tolist(), codes.tolist(), strict=True):
        adjacency[to_atom, from_atom] += 1
        counts[to_atom, code] += 1
    return adjacency, counts


def random_numbers(seed: int, *size: int) -> Tensor:
    return torch.randn(size, generator=torch.Generator().manual_seed(seed))


def check_close(actual: Tensor, expected: Tensor, terms: Tensor, dtype: torch.dtype) -> None:
    """Compare with a sum in float64, within the rounding of its terms, whose absolute values sum up to `terms`."""
    assert actual.dtype == dtype
    assert ((actual.double() - expected).abs() <= TOLERANCES[dtype] * (terms + 1)).all()


@settings(max_examples=25)
@given(graph=graphs, dtype=types)
def test_message_sum_and_its_gradients_equal_products_of_dense_matrices(
    graph: tuple[int, int, int, int], dtype: torch.dtype
) -> None:
    seed, number, num_edges, width = graph
    edges = random_graph(seed, number, num_edges)
    adjacency, counts = matrices(edges, number)
    adjacency += torch.eye(number)
    atoms = random_numbers(seed, number, width).to(dtype).requires_grad_()
    bonds = random_numbers(seed + 1, BOND_CODES, width).requires_grad_()
    # A transposed gradient is not contiguous.
    direction = random_numbers(seed + 2, width, number).T.to(dtype)
    total = kernel_message_sum(edges, atoms, bonds)
    to_atoms, to_bonds = torch.autograd.grad(total, (atoms, bonds), direction)
    exact_atoms, exact_bonds, exact_direction = atoms.detach().double(), bonds.detach().double(), direction.double()
    terms = adjacency @ exact_atoms.abs() + counts @ exact_bonds.abs()
    check_close(total.detach(), adjacency @ exact_atoms + counts @ exact_bonds, terms, dtype)
    check_close(to_atoms, adjacency.T @ exact_direction, adjacency.T @ exact_direction.abs(), dtype)
    assert to_bonds.dtype == torch.float32
    check_close(to_bonds.to(dtype), counts.T @ exact_direction, counts.T @ exact_direction.abs(), dtype)


@settings(max_examples=15)
@given(graph=graphs, dtype=types)
def test_neighbor_sum_and_its_gradient_equal_products_of_a_dense_matrix(
    graph: tuple[int, int, int, int], dtype: torch.dtype
) -> None:
    seed, number, num_edges, width = graph
    edges = random_graph(seed, number, num_edges)
    adjacency, _ = matrices(edges, number)
    atoms = random_numbers(seed, number, width).to(dtype).requires_grad_()
    direction = random_numbers(seed + 2, number, width).to(dtype)
    total = message_kernel.neighbor_sum(atoms, *EdgeRows.of(*edges[:2], number))
    (gradient,) = torch.autograd.grad(total, atoms, direction)
    exact, exact_direction = atoms.detach().double(), direction.double()
    check_close(total.detach(), adjacency @ exact, adjacency @ exact.abs(), dtype)
    check_close(gradient, adjacency.T @ exact_direction, adjacency.T @ exact_direction.abs(), dtype)


@settings(max_examples=15)
@given(seed=st.integers(0, 10_000), sizes=st.lists(st.integers(0, 4), min_size=1, max_size=40), dtype=types)
def test_sum_by_molecule_and_its_gradient_equal_a_loop(seed: int, sizes: list[int], dtype: torch.dtype) -> None:
    atoms = random_numbers(seed, sum(sizes), 5).to(dtype).requires_grad_()
    molecule_of_atom = torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))
    total = sum_by_molecule(atoms, molecule_of_atom, len(sizes))
    assert total.dtype == torch.float32
    expected = torch.stack([part.double().sum(dim=0) for part in torch.split(atoms.detach(), sizes)])
    torch.testing.assert_close(total.detach().double(), expected, rtol=1e-5, atol=1e-5)
    direction = random_numbers(seed, len(sizes), 5)
    (gradient,) = torch.autograd.grad(total, atoms, direction)
    assert torch.equal(gradient, direction[molecule_of_atom].to(dtype))


@pytest.mark.parametrize(("number", "num_edges"), [(1, 0), (5, 0), (7, 11)])
def test_the_sums_of_a_batch_equal_those_of_the_cpu(
    number: int, num_edges: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    edges = random_graph(0, number, num_edges)
    leaves = random_numbers(0, number, 6).requires_grad_(), random_numbers(1, BOND_CODES, 6).requires_grad_()

    def sums_and_gradients() -> list[Tensor]:
        messages = MessageSum(*edges, number, BOND_CODES)(*leaves)
        neighbors = NeighborSum(*edges[:2], number)(leaves[0])
        gradients = torch.autograd.grad((messages.square().sum() + neighbors.square().sum()), leaves)
        return [messages, neighbors, *gradients]

    from_kernel = sums_and_gradients()
    monkeypatch.setattr(aggregation, "_kernel", lambda device: None)
    torch.testing.assert_close(from_kernel, sums_and_gradients(), rtol=1e-5, atol=1e-5)


def test_operators_fulfill_the_contract_of_torch() -> None:
    source, target, codes = random_graph(0, 7, 12)
    rows = EdgeRows.of(source, target, 7)
    starts, sources, starts_back, targets = rows
    atoms, bonds = random_numbers(0, 7, 6).requires_grad_(), random_numbers(1, BOND_CODES, 6).requires_grad_()
    counts = random_numbers(2, 7, BOND_CODES)
    edges = starts, sources, codes, starts_back, targets, counts
    torch.library.opcheck(message_kernel.message_sum, (atoms, bonds, *edges))
    torch.library.opcheck(message_kernel.neighbor_sum, (atoms, *rows))
    starts = torch.tensor([0, 3, 3, 7])
    torch.library.opcheck(message_kernel.segment_sum, (atoms, starts, torch.tensor([0, 0, 0, 2, 2, 2, 2])))


def test_compiled_layers_use_the_kernel_in_one_graph_for_all_sizes() -> None:
    from torch._dynamo.testing import CompileCounterWithBackend

    counter = CompileCounterWithBackend("aot_eager")
    layers = GIN(hidden_dim=6, num_layers=2)
    layers.build(TASK)
    (stack,) = layers.layers_to_compile()
    found = []
    for number, num_edges in ((7, 12), (9, 20), (30, 70), (8, 3)):
        messages = MessageSum(*random_graph(0, number, num_edges), number, 10)
        atoms = random_numbers(0, number, 6)
        expected = stack(atoms, messages)
        expected.square().sum().backward()
        gradients = [parameter.grad for parameter in stack.parameters()]
        stack.zero_grad()
        compiled = torch.compile(stack, backend=counter, dynamic=True, fullgraph=True)(atoms, messages)
        compiled.square().sum().backward()
        torch.testing.assert_close(compiled, expected, rtol=1e-4, atol=1e-4)
        for parameter, gradient in zip(stack.parameters(), gradients, strict=True):
            torch.testing.assert_close(parameter.grad, gradient, rtol=1e-3, atol=1e-3)
        stack.zero_grad()
        found.append(counter.frame_count)
    # The first batch may be traced twice.
    assert len(set(found)) == 1


@pytest.mark.parametrize("make", [GIN, GCN])
def test_graph_networks_with_the_kernel_need_no_value_on_the_host(make: Callable[[], Encoder]) -> None:
    rows = numpy.arange(3)
    features = featurize(["CC(=O)Oc1ccccc1C(=O)O", "C", "CCN"], TASK.features)
    molecules = SampleMolecules(features, rows[:, None], TASK.features.fingerprint_width)
    encoder, batch = make(), SampleStore(molecules).batch(rows, rows, rows)
    encoder.build(TASK)
    embeddings = encoder.to("meta")(batch.to("meta"))
    assert embeddings.shape == (3, encoder.output_dim)
    gradients = torch.autograd.grad(embeddings.sum(), list(encoder.parameters()))
    assert [gradient.shape for gradient in gradients] == [parameter.shape for parameter in encoder.parameters()]
