import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from modules.encoders.aggregation import NeighbourSum, sum_by_molecule


def random_graph(seed: int, num_atoms: int, num_edges: int) -> tuple[Tensor, Tensor]:
    """Directed edges without their way back, as dropping edges leaves them."""
    generator = torch.Generator().manual_seed(seed)
    source = torch.randint(num_atoms, (num_edges,), generator=generator)
    target = torch.randint(num_atoms, (num_edges,), generator=generator).sort().values
    return source, target


def looped_sum(source: Tensor, target: Tensor, atoms: Tensor) -> Tensor:
    total = [torch.zeros(atoms.shape[1]) for _ in range(len(atoms))]
    for start, end in zip(source.tolist(), target.tolist(), strict=True):
        total[end] = total[end] + atoms[start]
    return torch.stack(total)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), num_atoms=st.integers(1, 12), num_edges=st.integers(0, 30))
def test_neighbour_sum_equals_a_loop_and_index_add_in_value_and_gradient(
    seed: int, num_atoms: int, num_edges: int
) -> None:
    source, target = random_graph(seed, num_atoms, num_edges)
    generator = torch.Generator().manual_seed(seed)
    atoms = torch.randn(num_atoms, 3, generator=generator).requires_grad_()
    direction = torch.randn(num_atoms, 3, generator=generator)
    actual = NeighbourSum(source, target, num_atoms)(atoms)
    (gradient,) = torch.autograd.grad((actual * direction).sum(), atoms)
    added = torch.zeros(num_atoms, 3).index_add(0, target, atoms[source])
    for expected in (looped_sum(source, target, atoms), added):
        torch.testing.assert_close(actual, expected)
        # Adding zero times the atoms connects a sum over no edges to them.
        (expected_gradient,) = torch.autograd.grad((expected * direction).sum() + 0 * atoms.sum(), atoms)
        torch.testing.assert_close(gradient, expected_gradient)


def test_neighbour_sum_of_a_graph_by_hand() -> None:
    atoms = torch.tensor([[1.0], [10.0], [100.0]], requires_grad=True)
    total = NeighbourSum(torch.tensor([1, 2, 1]), torch.tensor([0, 0, 2]), 3)(atoms)
    assert total.flatten().tolist() == [110, 0, 10]
    (gradient,) = torch.autograd.grad(total[2].sum() * 5 + total[0].sum(), atoms)
    assert gradient.flatten().tolist() == [0, 6, 1]


def test_neighbour_sum_keeps_its_gradient_through_several_layers() -> None:
    source, target = random_graph(3, 6, 14)
    atoms = torch.randn(6, 2, generator=torch.Generator().manual_seed(0)).requires_grad_()
    neighbours = NeighbourSum(source, target, 6)
    (actual,) = torch.autograd.grad(neighbours(torch.tanh(neighbours(atoms))).square().sum(), atoms)
    inner = torch.tanh(looped_sum(source, target, atoms))
    (expected,) = torch.autograd.grad(looped_sum(source, target, inner).square().sum(), atoms)
    torch.testing.assert_close(actual, expected)


def test_neighbour_sum_takes_a_gradient_that_is_not_contiguous() -> None:
    source, target = random_graph(4, 5, 9)
    atoms = torch.randn(5, 3, generator=torch.Generator().manual_seed(0)).requires_grad_()
    direction = torch.randn(3, 5, generator=torch.Generator().manual_seed(1))
    (actual,) = torch.autograd.grad(NeighbourSum(source, target, 5)(atoms), atoms, direction.T)
    (expected,) = torch.autograd.grad(looped_sum(source, target, atoms), atoms, direction.T)
    torch.testing.assert_close(actual, expected)


def test_neighbour_sum_without_edges_is_zero_with_a_zero_gradient() -> None:
    none = torch.empty(0, dtype=torch.int64)
    atoms = torch.ones(4, 3, requires_grad=True)
    total = NeighbourSum(none, none, 4)(atoms)
    (gradient,) = torch.autograd.grad(total.sum(), atoms)
    assert torch.equal(total, torch.zeros(4, 3))
    assert torch.equal(gradient, torch.zeros(4, 3))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_sums_are_exact_in_float32_under_autocast(dtype: torch.dtype) -> None:
    # 301 needs nine bits, one more than bfloat16 has.
    count = 301
    atoms = torch.ones(count + 1, 2, dtype=dtype, requires_grad=True)
    source, target = torch.arange(1, count + 1), torch.zeros(count, dtype=torch.int64)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        neighbours = NeighbourSum(source, target, count + 1)(atoms)
        molecules = sum_by_molecule(atoms[1:], target, 1)
        (gradient,) = torch.autograd.grad(neighbours.sum(), atoms)
    for total in (neighbours[:1], molecules):
        assert total.dtype == torch.float32
        assert total.tolist() == [[count, count]]
    assert gradient.dtype == dtype
    assert torch.equal(gradient.float(), torch.tensor([0.0] + [1.0] * count).unsqueeze(1).expand(-1, 2))


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000), sizes=st.lists(st.integers(0, 4), min_size=1, max_size=6))
def test_sum_by_molecule_equals_a_loop(seed: int, sizes: list[int]) -> None:
    atoms = torch.randn(sum(sizes), 3, generator=torch.Generator().manual_seed(seed))
    molecule_of_atom = torch.tensor([number for number, size in enumerate(sizes) for _ in range(size)]).long()
    expected = torch.stack([part.sum(dim=0) for part in torch.split(atoms, sizes)])
    torch.testing.assert_close(sum_by_molecule(atoms, molecule_of_atom, len(sizes)), expected)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_neighbour_sum_on_cuda_equals_the_cpu() -> None:
    source, target = random_graph(5, 9, 25)
    atoms = torch.randn(9, 4, generator=torch.Generator().manual_seed(0))
    direction = torch.randn(9, 4, generator=torch.Generator().manual_seed(1))
    results = []
    for device in ("cpu", "cuda"):
        leaf = atoms.to(device).requires_grad_()
        total = NeighbourSum(source.to(device), target.to(device), 9)(leaf)
        (gradient,) = torch.autograd.grad(total, leaf, direction.to(device))
        results.append((total.cpu(), gradient.cpu()))
    torch.testing.assert_close(results[1], results[0])
