"""The training step of graph networks on a GPU: its values, and that the host never waits for the device in it."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import torch
from torch import Tensor, nn

from datamodules.batch import Batch
from datamodules.drug_task import DrugTask
from datamodules.tables.columns import InputKind
from modules.encoders import GCN, GIN, Encoder, FingerprintMLP, Fusion
from modules.encoders.aggregation import MessageSum, NeighborSum
from modules.training.views import edge_drop_probabilities
from tests.modules.encoders.test_aggregation import BOND_CODES, random_graph

MakeBatch = Callable[[list[list[str]]], Batch]
MakeTask = Callable[[InputKind], DrugTask]

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
    pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning"),
]

SAMPLES = [["CC(=O)Oc1ccccc1C(=O)O"], ["CCN"], ["C"], ["c1ccncc1C=C"], ["[Na+].[Cl-]"], ["CS(=O)(=O)Cl"]]


@contextmanager
def no_waiting() -> Iterator[None]:
    """Raise an error where the host waits for the device."""
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


def on_gpu(encoder: Encoder, task: DrugTask) -> Encoder:
    encoder.build(task)
    return encoder.cuda()


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 1 / 128)])
@pytest.mark.parametrize("width", [7, 128, 300])
def test_sums_of_a_large_graph_equal_those_in_float64(dtype: torch.dtype, tolerance: float, width: int) -> None:
    pytest.importorskip("triton")
    number = 3_001
    source, target, codes = (part.cuda() for part in random_graph(0, number, 7_000))
    generator = torch.Generator().manual_seed(0)
    atoms, direction = (torch.randn(number, width, generator=generator).to("cuda", dtype) for _ in range(2))
    bonds = torch.randn(BOND_CODES, width, generator=generator).cuda()
    leaves = [atoms.requires_grad_(), bonds.requires_grad_()]
    total = MessageSum(source, target, codes, number, BOND_CODES)(*leaves)
    gradients = torch.autograd.grad(total, leaves, direction)
    neighbors = NeighborSum(source, target, number)(leaves[0])
    gradients += torch.autograd.grad(neighbors, leaves[:1], direction)
    exact = [leaf.detach().double().requires_grad_() for leaf in leaves]
    both = exact[0][source] + exact[1][codes.long()]
    expected = exact[0].index_add(0, target, both)
    expected_neighbors = torch.zeros_like(exact[0]).index_add(0, target, exact[0][source])
    wanted = torch.autograd.grad(expected, exact, direction.double())
    wanted += torch.autograd.grad(expected_neighbors, exact[:1], direction.double())
    found = [total, neighbors, *gradients]
    for actual, reference in zip(found, [expected, expected_neighbors, *wanted], strict=True):
        scale = reference.abs().amax()
        assert (actual.double() - reference).abs().amax() <= tolerance * scale
    assert total.dtype == neighbors.dtype == dtype
    assert torch.equal(total, MessageSum(source, target, codes, number, BOND_CODES)(*leaves))


@pytest.mark.parametrize("bfloat16", [False, True])
@pytest.mark.parametrize("make", [GIN, GCN, lambda: Fusion([GIN(), FingerprintMLP(dropout=0.2)])])
def test_a_step_never_waits_for_the_device(
    make: Callable[[], Encoder], bfloat16: bool, make_batch: MakeBatch, make_task: MakeTask
) -> None:
    encoder = on_gpu(make(), make_task("molecule"))
    batch = make_batch(SAMPLES).to("cuda")

    def step() -> Tensor:
        with torch.autocast("cuda", torch.bfloat16, enabled=bfloat16):
            return encoder(batch).float().square().mean()  # type: ignore[no-any-return]

    step().backward()  # type: ignore[no-untyped-call]
    with no_waiting():
        step().backward()  # type: ignore[no-untyped-call]


def test_drop_probabilities_do_not_wait_for_the_device(make_batch: MakeBatch) -> None:
    molecules = make_batch(SAMPLES).to("cuda").molecules
    assert molecules is not None
    with no_waiting():
        edge_drop_probabilities(molecules.target, len(molecules.atom_codes), 0.2)


def test_compiled_layers_equal_others_and_compile_once_for_all_sizes(
    make_batch: MakeBatch, make_task: MakeTask
) -> None:
    torch._dynamo.reset()
    gin = on_gpu(GIN(hidden_dim=32, num_layers=2), make_task("molecule"))
    compiled = copy.deepcopy(gin)
    for layers in compiled.layers_to_compile():
        layers.compile(dynamic=True, fullgraph=True)
    graphs = []
    for number in (6, 4, 5, 3):
        batch = make_batch(SAMPLES[:number]).to("cuda")
        results = []
        for encoder in (compiled, gin):
            embeddings = encoder(batch)
            gradients = torch.autograd.grad(embeddings.square().mean(), list(encoder.parameters()))
            results.append([embeddings, *gradients])
        torch.testing.assert_close(*results, rtol=1e-3, atol=1e-3)
        graphs.append(torch._dynamo.utils.counters["stats"]["unique_graphs"])
    assert len(set(graphs)) == 1


def test_bfloat16_stays_close_to_float32(
    make_batch: MakeBatch, make_task: MakeTask, randomize: Callable[[nn.Module], None]
) -> None:
    gin = on_gpu(GIN(hidden_dim=64, num_layers=3), make_task("molecule"))
    gin.cpu()
    randomize(gin)
    gin.cuda()
    batch = make_batch(SAMPLES).to("cuda")
    expected = gin(batch)
    with torch.autocast("cuda", torch.bfloat16):
        actual = gin(batch)
    assert (actual.float() - expected).norm() < 0.05 * expected.norm()
