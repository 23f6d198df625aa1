import sys
from collections.abc import Callable
from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn

from datamodules.batch import Batch
from datamodules.chemistry.atom_codes import ATOM_CODE_SIZES, MAX_CHARGE
from datamodules.drug_task import DrugTask
from datamodules.tables.columns import InputKind
from modules.encoders import GCN
from modules.encoders.encoder import combine_molecules
from modules.encoders.gcn import canonical_atom_features
from tests.datamodules.batch_parts import graphs, with_graphs

MakeBatch = Callable[[list[list[str]]], Batch]
MakeTask = Callable[[InputKind], DrugTask]
Randomize = Callable[[nn.Module], None]

# First column of each block of the canonical atom features.
ELEMENT, DEGREE, IMPLICIT_VALENCE, CHARGE, RADICALS, HYBRIDIZATION, AROMATIC, HYDROGENS = 0, 43, 54, 61, 62, 63, 68, 69
SP, SP2, SP3 = HYBRIDIZATION, HYBRIDIZATION + 1, HYBRIDIZATION + 2
CARBON, NITROGEN, OXYGEN, PHOSPHORUS, SODIUM, LEAD = 0, 1, 2, 6, 10, 42
SAMPLES = [["C[C@H](N)C(=O)O", "C"], ["c1ccncc1C=C", "[Na+].[Cl-]"], ["C#N", "CS(=O)(=O)Cl"]]


@pytest.mark.parametrize(
    ("smiles", "expected"),
    [
        ("c1ccccc1", {CARBON: 1, DEGREE + 2: 1, IMPLICIT_VALENCE + 1: 1, SP2: 1, AROMATIC: 1, HYDROGENS + 1: 1}),
        ("[NH4+]", {NITROGEN: 1, DEGREE: 1, IMPLICIT_VALENCE: 1, CHARGE: 1, SP3: 1, HYDROGENS + 4: 1}),
        # RDKit gives a lone ion the hybridization S, which has no column.
        ("[Na+]", {SODIUM: 1, DEGREE: 1, IMPLICIT_VALENCE: 1, CHARGE: 1, HYDROGENS: 1}),
        ("[O-2]", {OXYGEN: 1, DEGREE: 1, IMPLICIT_VALENCE: 1, CHARGE: -2, SP3: 1, HYDROGENS: 1}),
        ("[CH3]", {CARBON: 1, DEGREE: 1, IMPLICIT_VALENCE: 1, RADICALS: 1, SP3: 1, HYDROGENS + 3: 1}),
        ("C#N", {CARBON: 1, DEGREE + 1: 1, IMPLICIT_VALENCE + 1: 1, SP: 1, HYDROGENS + 1: 1}),
    ],
)
def test_features_of_a_first_atom_by_hand(smiles: str, expected: dict[int, float], make_batch: MakeBatch) -> None:
    features = canonical_atom_features(graphs(make_batch([[smiles]])).atom_codes)
    assert features.dtype == torch.float32
    assert features.shape[1] == 74
    assert {column: value for column, value in enumerate(features[0].tolist()) if value} == expected


def test_an_element_outside_the_list_has_no_element_column(make_batch: MakeBatch) -> None:
    uranium = canonical_atom_features(graphs(make_batch([["[U]"]])).atom_codes)
    assert uranium[0, ELEMENT:DEGREE].sum() == 0
    assert uranium[0, DEGREE] == 1
    lead = canonical_atom_features(graphs(make_batch([["[Pb]"]])).atom_codes)
    assert lead[0, ELEMENT:DEGREE].nonzero().item() == LEAD


def test_hybridizations_of_five_and_six_neighbors(make_batch: MakeBatch) -> None:
    features = canonical_atom_features(graphs(make_batch([["P(F)(F)(F)(F)F"], ["S(F)(F)(F)(F)(F)F"]])).atom_codes)
    assert features[0, PHOSPHORUS] == features[0, HYBRIDIZATION + 3] == 1
    assert features[6, HYBRIDIZATION + 4] == 1


def test_values_outside_their_lists_leave_their_blocks_zero() -> None:
    values = {"element": 92, "degree": 11, "implicit_valence": 7, "charge": MAX_CHARGE, "hydrogens": 5}
    codes = torch.tensor([[values.get(name, 0) for name in ATOM_CODE_SIZES]], dtype=torch.uint8)
    assert torch.equal(canonical_atom_features(codes), torch.zeros(1, 74))


def test_each_known_element_has_one_column() -> None:
    codes = torch.zeros(119, len(ATOM_CODE_SIZES), dtype=torch.uint8)
    codes[:, 0] = torch.arange(119)
    elements = canonical_atom_features(codes)[:, ELEMENT:DEGREE]
    assert torch.equal(elements.sum(dim=0), torch.ones(43))
    assert elements.sum(dim=1).max() == 1


def dense_embeddings(gcn: GCN, batch: Batch) -> Tensor:
    """The formula with a dense adjacency matrix."""
    molecules = graphs(batch)
    atoms = canonical_atom_features(molecules.atom_codes)
    adjacency = torch.zeros(len(atoms), len(atoms))
    adjacency[molecules.target, molecules.source] = 1
    for convolution, residual, norm in zip(gcn.convolutions, gcn.residuals, gcn.norms, strict=True):
        weights = dict(convolution.named_parameters())
        atoms = torch.relu(adjacency @ atoms @ weights["weight"] + weights["bias"]) + torch.relu(residual(atoms))
        statistics, scale = dict(norm.named_buffers()), dict(norm.named_parameters())
        normal = (atoms - statistics["running_mean"]) / (statistics["running_var"] + 1e-5).sqrt()
        atoms = normal * scale["weight"] + scale["bias"]
    sums = [part.sum(dim=0) for part in torch.split(atoms, molecules.atoms_per_molecule.tolist())]
    return combine_molecules(torch.stack(sums), gcn.task)


@pytest.mark.parametrize("input", ["molecule", "reaction", "pair"])
@pytest.mark.parametrize("hidden_dim", [8, 80])
def test_equals_a_dense_adjacency_matrix(
    hidden_dim: int, input: InputKind, make_batch: MakeBatch, make_task: MakeTask, randomize: Randomize
) -> None:
    gcn = GCN(hidden_dim=hidden_dim, num_layers=3)
    gcn.build(make_task(input))
    randomize(gcn)
    batch = make_batch([[smiles] for sample in SAMPLES for smiles in sample] if input == "molecule" else SAMPLES)
    expected = dense_embeddings(gcn, batch)
    torch.testing.assert_close(gcn(batch), expected, rtol=1e-4, atol=1e-5 * expected.abs().max().item())
    assert gcn.output_dim == (hidden_dim if input == "molecule" else 2 * hidden_dim)


def test_molecules_without_bonds_equal_the_dense_formula(
    make_batch: MakeBatch, make_task: MakeTask, randomize: Randomize
) -> None:
    gcn = GCN(hidden_dim=8)
    gcn.build(make_task("molecule"))
    randomize(gcn)
    batch = make_batch([["C"], ["[Na+].[Cl-]"]])
    assert len(graphs(batch).target) == 0
    torch.testing.assert_close(gcn(batch), dense_embeddings(gcn, batch), rtol=1e-4, atol=1e-4)


def test_the_papers_sizes_are_the_default(make_task: MakeTask) -> None:
    gcn = GCN()
    gcn.build(make_task("molecule"))
    shapes = [tuple(dict(convolution.named_parameters())["weight"].shape) for convolution in gcn.convolutions]
    assert shapes == [(74, 128), (128, 128), (128, 128)]
    assert gcn.output_dim == 128


class DGLStack(nn.Module):
    """The encoder of the paper's code, on DGL."""

    def __init__(self, hidden_dim: int, num_layers: int) -> None:
        super().__init__()
        from dgl.nn import GraphConv

        pairs = list(pairwise([74] + [hidden_dim] * num_layers))
        self.convolutions = nn.ModuleList(
            GraphConv(width, next_width, norm="none", activation=nn.ReLU(), allow_zero_in_degree=True)
            for width, next_width in pairs
        )
        self.residuals = nn.ModuleList(nn.Linear(width, next_width) for width, next_width in pairs)
        self.norms = nn.ModuleList(nn.BatchNorm1d(next_width) for _, next_width in pairs)

    def forward(self, batch: Batch) -> Tensor:
        molecules = graphs(batch)
        graph, atoms = molecules.to_dgl(), canonical_atom_features(molecules.atom_codes)
        for convolution, residual, norm in zip(self.convolutions, self.residuals, self.norms, strict=True):
            atoms = norm(convolution(graph, atoms) + torch.relu(residual(atoms)))
        return torch.stack([part.sum(dim=0) for part in torch.split(atoms, molecules.atoms_per_molecule.tolist())])


def drop_bonds(batch: Batch) -> Batch:
    """Drop about a third of the directed edges independently, as in a view."""
    molecules = graphs(batch)
    kept = torch.rand(len(molecules.target), generator=torch.Generator().manual_seed(0)) > 0.3
    return with_graphs(batch, **{name: getattr(molecules, name)[kept] for name in ("source", "target", "bond_codes")})


# DGL multiplies by the weight before it sums where that makes vectors narrower (8), else after (128).
@pytest.mark.parametrize("hidden_dim", [8, 128])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("change", [lambda batch: batch, drop_bonds], ids=["graph", "view"])
def test_equals_the_dgl_stack_in_value_and_gradient(
    hidden_dim: int,
    training: bool,
    change: Callable[[Batch], Batch],
    make_batch: MakeBatch,
    make_task: MakeTask,
) -> None:
    pytest.importorskip("dgl", reason="DGL is not installed")
    gcn, stack = GCN(hidden_dim=hidden_dim), DGLStack(hidden_dim, num_layers=3)
    gcn.build(make_task("molecule"))
    stack.load_state_dict(gcn.state_dict())
    batch = change(make_batch([[smiles] for sample in SAMPLES for smiles in sample]))
    results = []
    for encoder in (gcn.train(training), stack.train(training)):
        embeddings = encoder(batch)
        direction = torch.randn(embeddings.shape, generator=torch.Generator().manual_seed(1))
        gradients = torch.autograd.grad((embeddings * direction).sum(), list(encoder.parameters()))
        results.append([embeddings, *gradients])
    for actual, expected in zip(*results, strict=True):
        torch.testing.assert_close(actual, expected, rtol=0, atol=1e-6 * max(1, expected.abs().max().item()))


def test_a_seed_draws_the_initial_values_of_the_dgl_stack(make_task: MakeTask) -> None:
    pytest.importorskip("dgl", reason="DGL is not installed")
    with torch.random.fork_rng():
        torch.manual_seed(3)
        gcn = GCN(hidden_dim=16)
        gcn.build(make_task("molecule"))
        torch.manual_seed(3)
        stack = DGLStack(16, num_layers=3)
    expected = stack.state_dict()
    assert list(gcn.state_dict()) == list(expected)
    assert all(torch.equal(value, expected[name]) for name, value in gcn.state_dict().items())


def test_dgl_is_not_imported(make_batch: MakeBatch, make_task: MakeTask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dgl", None)
    gcn = GCN(hidden_dim=8)
    gcn.build(make_task("pair"))
    assert gcn(make_batch(SAMPLES)).shape == (len(SAMPLES), 16)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_on_cuda_equals_the_cpu(make_batch: MakeBatch, make_task: MakeTask, randomize: Randomize) -> None:
    gcn = GCN(hidden_dim=16)
    gcn.build(make_task("reaction"))
    randomize(gcn)
    batch = make_batch(SAMPLES)
    expected = gcn(batch)
    torch.testing.assert_close(gcn.cuda()(batch.to("cuda")).cpu(), expected, rtol=1e-4, atol=1e-4)
