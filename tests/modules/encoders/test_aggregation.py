import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from modules.encoders.aggregation import MessageSum, NeighborSum, sum_by_molecule

BOND_CODES = 4


def random_graph(seed: int, num_atoms: int, num_edges: int) -> tuple[Tensor, Tensor, Tensor]:
    """Sources, targets and bond codes of edges in one direction only, as dropping edges leaves them."""
    generator = torch.Generator().manual_seed(seed)
    source = torch.randint(num_atoms, (num_edges,), generator=generator)
    target = torch.randint(num_atoms, (num_edges,), generator=generator).sort().values
    codes = torch.randint(BOND_CODES, (num_edges,), generator=generator, dtype=torch.uint8)
    return source, target, codes


def random_vectors(seed: int, num_atoms: int) -> tuple[Tensor, Tensor]:
    """Vectors of atoms and of bond codes."""
    generator = torch.Generator().manual_seed(seed)
    sizes = (num_atoms, 3), (BOND_CODES, 3)
    atoms, bonds = (torch.randn(size, generator=generator).requires_grad_() for size in sizes)
    return atoms, bonds


def looped_sum(graph: tuple[Tensor, Tensor, Tensor], atoms: Tensor, bonds: Tensor) -> Tensor:
    total = list(atoms)
    for source, target, code in zip(*(column.tolist() for column in graph), strict=True):
        total[target] = total[target] + atoms[source] + bonds[code]
    return torch.stack(total)


def message_sum(graph: tuple[Tensor, Tensor, Tensor], atoms: Tensor, bonds: Tensor) -> Tensor:
    return MessageSum(*graph, len(atoms), BOND_CODES)(atoms, bonds)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), num_atoms=st.integers(1, 12), num_edges=st.integers(0, 30))
def test_message_sum_equals_a_loop_in_value_and_gradient(seed: int, num_atoms: int, num_edges: int) -> None:
    graph, vectors = random_graph(seed, num_atoms, num_edges), random_vectors(seed, num_atoms)
    direction = torch.randn(num_atoms, 3, generator=torch.Generator().manual_seed(seed + 1))
    actual, expected = message_sum(graph, *vectors), looped_sum(graph, *vectors)
    torch.testing.assert_close(actual, expected)
    gradients = torch.autograd.grad((actual * direction).sum(), vectors)
    # Adding zero times the vectors connects a sum over no edges to them.
    silent = 0 * vectors[1].sum()
    torch.testing.assert_close(gradients, torch.autograd.grad((expected * direction).sum() + silent, vectors))


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), num_atoms=st.integers(1, 12), num_edges=st.integers(0, 30))
def test_neighbor_sum_equals_a_loop_in_value_and_gradient(seed: int, num_atoms: int, num_edges: int) -> None:
    (source, target, codes), (atoms, bonds) = random_graph(seed, num_atoms, num_edges), random_vectors(seed, num_atoms)
    # A transposed gradient is not contiguous.
    direction = torch.randn(3, num_atoms, generator=torch.Generator().manual_seed(seed + 1)).T
    actual = NeighborSum(source, target, num_atoms)(atoms)
    expected = looped_sum((source, target, codes), atoms, 0 * bonds) - atoms
    torch.testing.assert_close(actual, expected, atol=1e-5, rtol=1e-5)
    (gradient,) = torch.autograd.grad(actual, atoms, direction)
    torch.testing.assert_close(gradient, torch.autograd.grad(expected, atoms, direction)[0], atol=1e-5, rtol=1e-5)


def test_neighbor_sum_of_a_graph_by_hand() -> None:
    atoms = torch.tensor([[1.0], [10.0], [100.0]], requires_grad=True)
    total = NeighborSum(torch.tensor([1, 2, 1]), torch.tensor([0, 0, 2]), 3)(atoms)
    assert total.flatten().tolist() == [110, 0, 10]
    (gradient,) = torch.autograd.grad(total[2].sum() * 5 + total[0].sum(), atoms)
    assert gradient.flatten().tolist() == [0, 6, 1]


def test_message_sum_of_a_graph_by_hand() -> None:
    atoms = torch.tensor([[1.0], [10.0], [100.0]], requires_grad=True)
    bonds = torch.tensor([[1_000.0], [0.5]], requires_grad=True)
    source, target, codes = torch.tensor([1, 2, 1]), torch.tensor([0, 0, 2]), torch.tensor([1, 1, 0])
    total = MessageSum(source, target, codes, 3, 2)(atoms, bonds)
    assert total.flatten().tolist() == [112, 10, 1_110]
    to_atoms, to_bonds = torch.autograd.grad(total[2].sum() * 5 + total[0].sum(), (atoms, bonds))
    assert to_atoms.flatten().tolist() == [1, 6, 6]
    assert to_bonds.flatten().tolist() == [5, 2]


def test_message_sum_keeps_its_gradient_through_several_layers() -> None:
    graph, (atoms, bonds) = random_graph(3, 6, 14), random_vectors(0, 6)
    messages = MessageSum(*graph, 6, BOND_CODES)
    outer = messages(torch.tanh(messages(atoms, bonds)), bonds).square().sum()
    expected = looped_sum(graph, torch.tanh(looped_sum(graph, atoms, bonds)), bonds).square().sum()
    torch.testing.assert_close(
        torch.autograd.grad(outer, (atoms, bonds)), torch.autograd.grad(expected, (atoms, bonds)), rtol=1e-4, atol=1e-4
    )


def test_message_sum_takes_a_gradient_that_is_not_contiguous() -> None:
    graph, vectors = random_graph(4, 5, 9), random_vectors(0, 5)
    direction = torch.randn(3, 5, generator=torch.Generator().manual_seed(1))
    actual = torch.autograd.grad(message_sum(graph, *vectors), vectors, direction.T)
    torch.testing.assert_close(actual, torch.autograd.grad(looped_sum(graph, *vectors), vectors, direction.T))


def test_message_sum_does_not_change_its_input() -> None:
    (atoms, bonds), graph = random_vectors(0, 5), random_graph(4, 5, 9)
    before = atoms.detach().clone()
    message_sum(graph, atoms, bonds)
    assert torch.equal(atoms, before)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_sums_are_exact_in_float32_under_autocast(dtype: torch.dtype) -> None:
    # 301 needs nine bits, one more than bfloat16 has.
    count = 301
    atoms = torch.ones(count, 2, dtype=dtype, requires_grad=True)
    bonds = torch.zeros(1, 2)
    source, target = torch.arange(1, count), torch.zeros(count - 1, dtype=torch.int64)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        messages = MessageSum(source, target, target, count, 1)(atoms, bonds)
        neighbors = NeighborSum(source, target, count)(atoms)
        molecules = sum_by_molecule(atoms, torch.zeros(count, dtype=torch.int64), 1)
        (gradient,) = torch.autograd.grad(messages[0].sum() + 0 * neighbors.sum(), atoms)
    for total in (messages[:1], molecules):
        assert total.dtype == torch.float32
        assert total.tolist() == [[count, count]]
    assert neighbors.dtype == torch.float32
    assert neighbors[:1].tolist() == [[count - 1, count - 1]]
    assert gradient.dtype == dtype
    assert torch.equal(gradient.float(), torch.ones(count, 2))


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000), sizes=st.lists(st.integers(0, 4), min_size=1, max_size=6))
def test_sum_by_molecule_equals_a_loop(seed: int, sizes: list[int]) -> None:
    atoms = torch.randn(sum(sizes), 3, generator=torch.Generator().manual_seed(seed))
    molecule_of_atom = torch.tensor([number for number, size in enumerate(sizes) for _ in range(size)]).long()
    expected = torch.stack([part.sum(dim=0) for part in torch.split(atoms, sizes)])
    torch.testing.assert_close(sum_by_molecule(atoms, molecule_of_atom, len(sizes)), expected)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_sums_on_cuda_equal_the_cpu() -> None:
    graph, vectors = random_graph(5, 9, 25), random_vectors(0, 9)
    direction = torch.randn(9, 3, generator=torch.Generator().manual_seed(1))
    results = []
    for device in ("cpu", "cuda"):
        leaves = [vector.detach().to(device).requires_grad_() for vector in vectors]
        source, target, codes = (column.to(device) for column in graph)
        total = MessageSum(source, target, codes, 9, BOND_CODES)(*leaves)
        gradients = torch.autograd.grad(total, leaves, direction.to(device))
        neighbors = NeighborSum(source, target, 9)(leaves[0])
        gradients += torch.autograd.grad(neighbors, leaves[:1], direction.to(device))
        results.append([total.cpu(), neighbors.cpu(), *(gradient.cpu() for gradient in gradients)])
    torch.testing.assert_close(results[1], results[0])
