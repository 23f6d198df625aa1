"""Training steps of the graph networks of the peers on the same molecules; runs in the environment of the peers."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.measuring import Work

HIDDEN, LAYERS = 300, 5
GCN_HIDDEN, GCN_LAYERS = 128, 3


def training_step(
    parameters: nn.Module, output: Callable[[], Tensor], bfloat16: bool = False, device: str = "cpu"
) -> Work:
    """A forward pass, a squared error, and a backward pass.

    Args:
        parameters: Module whose gradients are computed.
        output: The forward pass.
        bfloat16: Whether autocast lowers the precision of the forward pass.
        device: Type of the device of the module.
    """
    wanted = torch.randn(output().shape, generator=torch.Generator().manual_seed(0)).to(device)

    def work(turn: int) -> None:
        parameters.zero_grad(set_to_none=True)
        with torch.autocast(device, torch.bfloat16, enabled=bfloat16):
            result = output()
        (result.float() - wanted).square().mean().backward()  # type: ignore[no-untyped-call]

    return work


def gin_update() -> nn.Sequential:
    """The dense part of a GIN layer, equal to ours."""
    inner = [nn.Linear(HIDDEN, 2 * HIDDEN), nn.BatchNorm1d(2 * HIDDEN), nn.ReLU(), nn.Linear(2 * HIDDEN, HIDDEN)]
    return nn.Sequential(nn.Sequential(*inner), nn.BatchNorm1d(HIDDEN), nn.ReLU())


class AtomEmbedding(nn.Module):
    """The sum of an embedding for each of PyG's nine columns of atom codes."""

    offsets: Tensor

    def __init__(self) -> None:
        """Create an embedding for each value in PyG's lists."""
        from torch_geometric.utils.smiles import x_map

        super().__init__()
        sizes = torch.tensor([len(values) for values in x_map.values()])
        self.register_buffer("offsets", torch.cumsum(sizes, 0) - sizes)
        self.embedding = nn.EmbeddingBag(int(sizes.sum()), HIDDEN, mode="sum")

    def forward(self, codes: Tensor) -> Any:
        """Embed (A, 9) codes."""
        return self.embedding(codes + self.offsets)


def _pyg_batch(smiles: list[str]) -> Any:
    from torch_geometric.data import Batch
    from torch_geometric.utils import from_smiles

    molecules = {text: from_smiles(text) for text in dict.fromkeys(smiles)}
    return Batch.from_data_list([molecules[text] for text in smiles])


def dense(smiles: list[str]) -> dict[str, Work]:
    """The dense layers of a GIN alone."""
    layers = nn.Sequential(*(gin_update() for _ in range(LAYERS)))
    atoms = torch.randn(len(_pyg_batch(smiles).x), HIDDEN, requires_grad=True)
    return {"peers_dense": training_step(layers, lambda: layers(atoms))}


def pyg_gin_network(smiles: list[str], device: str = "cpu") -> tuple[nn.Module, Callable[[], Tensor]]:
    """PyG's GIN with the same dense layers, and its forward pass on the molecules."""
    from torch_geometric.nn import GINConv, global_add_pool

    batch = _pyg_batch(smiles).to(device)
    embedding = AtomEmbedding().to(device)
    layers = nn.ModuleList(GINConv(gin_update(), train_eps=True) for _ in range(LAYERS)).to(device)

    def output() -> Any:
        atoms = embedding(batch.x)
        for layer in layers:
            atoms = layer(atoms, batch.edge_index)
        return global_add_pool(atoms, batch.batch, batch.num_graphs)

    return nn.ModuleList([embedding, layers]), output


def pyg_gin(smiles: list[str]) -> dict[str, Work]:
    """PyG's GIN with the same dense layers, in both precisions."""
    model, output = pyg_gin_network(smiles)
    return {"pyg_gin": training_step(model, output), "pyg_gin_bf16": training_step(model, output, bfloat16=True)}


def dgl_gin(smiles: list[str]) -> dict[str, Work]:
    """DGL's GIN with the same dense layers."""
    import dgl
    from dgl.nn.pytorch import GINConv

    batch = _pyg_batch(smiles)
    source, target = batch.edge_index
    graph = dgl.graph((source, target), num_nodes=batch.num_nodes)
    graph.set_batch_num_nodes(torch.bincount(batch.batch))
    graph.set_batch_num_edges(torch.bincount(batch.batch[target], minlength=batch.num_graphs))
    embedding = AtomEmbedding()
    layers = nn.ModuleList(GINConv(gin_update(), "sum", learn_eps=True) for _ in range(LAYERS))

    def output() -> Any:
        atoms = embedding(batch.x)
        for layer in layers:
            atoms = layer(graph, atoms)
        with graph.local_scope():
            graph.ndata["atoms"] = atoms
            return dgl.sum_nodes(graph, "atoms")

    return {"dgl_gin": training_step(nn.ModuleList([embedding, layers]), output)}


def chemprop(smiles: list[str]) -> dict[str, Work]:
    """The directed message passing of chemprop at its default size, 300 x 3, with the sum over atoms."""
    from chemprop.data import BatchMolGraph, MoleculeDatapoint  # type: ignore[import-not-found]
    from chemprop.featurizers import SimpleMoleculeMolGraphFeaturizer  # type: ignore[import-not-found]
    from chemprop.nn import BondMessagePassing, SumAggregation  # type: ignore[import-not-found]

    featurizer = SimpleMoleculeMolGraphFeaturizer()
    batch = BatchMolGraph([featurizer(MoleculeDatapoint.from_smi(text).mol) for text in smiles])
    model, pool = BondMessagePassing(d_h=300, depth=3), SumAggregation()
    return {"chemprop": training_step(model, lambda: pool(model(batch), batch.batch))}


def pyg_gcn(smiles: list[str]) -> dict[str, Work]:
    """PyG's graph convolution on the nine atom codes as numbers."""
    from torch_geometric.nn import GCNConv, global_add_pool

    batch = _pyg_batch(smiles)
    features = batch.x.float()
    sizes = [features.shape[1]] + [GCN_HIDDEN] * GCN_LAYERS
    layers = nn.ModuleList(GCNConv(width, next_width) for width, next_width in pairwise(sizes))

    def output() -> Any:
        atoms = features
        for layer in layers:
            atoms = torch.relu(layer(atoms, batch.edge_index))
        return global_add_pool(atoms, batch.batch, batch.num_graphs)

    return {"pyg_gcn": training_step(layers, output)}


def dgllife_gcn(smiles: list[str]) -> dict[str, Work]:
    """The graph convolution of dgllife on its canonical atom features."""
    import dgl
    from dgllife.model.gnn import GCN  # type: ignore[import-not-found]
    from dgllife.utils import CanonicalAtomFeaturizer, smiles_to_bigraph  # type: ignore[import-not-found]

    featurizer = CanonicalAtomFeaturizer()
    graph = dgl.batch([smiles_to_bigraph(text, node_featurizer=featurizer) for text in smiles])
    model = GCN(featurizer.feat_size(), [GCN_HIDDEN] * GCN_LAYERS, allow_zero_in_degree=True)

    def output() -> Any:
        with graph.local_scope():
            graph.ndata["atoms"] = model(graph, graph.ndata["h"])
            return dgl.sum_nodes(graph, "atoms")

    return {"dgllife_gcn": training_step(model, output)}


BUILDERS: tuple[Callable[[list[str]], dict[str, Work]], ...] = (
    dense,
    pyg_gin,
    dgl_gin,
    chemprop,
    pyg_gcn,
    dgllife_gcn,
)
