from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from datamodules.batch import Batch
from datamodules.chemistry.atom_codes import ATOM_CODE_SIZES
from datamodules.drug_task import DrugTask
from datamodules.tables.columns import InputKind
from modules.encoders import GIN
from modules.encoders.encoder import combine_molecules
from modules.encoders.gin import multi_hot
from tests.datamodules.batch_parts import graphs, with_graphs

MakeBatch = Callable[[list[list[str]]], Batch]
MakeTask = Callable[[InputKind], DrugTask]
Randomize = Callable[[nn.Module], None]

SAMPLES = [["C[C@H](N)C(=O)O", "C"], ["c1ccncc1C=C", "[Na+].[Cl-]"], ["C#N", "CS(=O)(=O)Cl"], ["O", "N"]]


def looped_atoms(gin: GIN, batch: Batch) -> Tensor:
    """Atom vectors after the last layer, computed with loops over atoms and edges."""
    starts = [sum(list(ATOM_CODE_SIZES.values())[:column]) for column in range(len(ATOM_CODE_SIZES))]
    table = gin.atom_embedding.weight
    atoms = []
    for codes in graphs(batch).atom_codes.tolist():
        rows = [table[start + code] for start, code in zip(starts, codes, strict=True)]
        atoms.append(torch.stack(rows).sum(dim=0))
    bonds = graphs(batch)
    edges = list(zip(bonds.source.tolist(), bonds.target.tolist(), bonds.bond_codes.tolist(), strict=True))
    for layer in gin.layers:
        parameters = dict(layer.named_parameters())
        bond_vectors = parameters["bond_embedding.weight"].T
        updated = []
        for number, atom in enumerate(atoms):
            message = atom
            for source, target, code in edges:
                if target == number:
                    message = message + atoms[source] + bond_vectors[code]
            update = layer.get_submodule("update")
            updated.append(atom + update(message.unsqueeze(0)).squeeze(0))
        atoms = updated
    return torch.stack(atoms)


def looped_embeddings(gin: GIN, batch: Batch) -> Tensor:
    sizes = graphs(batch).atoms_per_molecule.tolist()
    molecules = [part.sum(dim=0) for part in torch.split(looped_atoms(gin, batch), sizes)]
    combined = combine_molecules(torch.stack(molecules), gin.task)
    norm = gin.norm
    assert norm.running_mean is not None
    assert norm.running_var is not None
    return (combined - norm.running_mean) / (norm.running_var + norm.eps).sqrt() * norm.weight + norm.bias


def build(gin: GIN, task: DrugTask, randomize: Randomize) -> GIN:
    gin.build(task)
    randomize(gin)
    return gin


@pytest.mark.parametrize("input", ["molecule", "reaction", "pair"])
def test_equals_a_loop_over_atoms_and_edges(
    input: InputKind, make_batch: MakeBatch, make_task: MakeTask, randomize: Randomize
) -> None:
    gin = build(GIN(hidden_dim=8, num_layers=2), make_task(input), randomize)
    samples = [[smiles] for sample in SAMPLES for smiles in sample] if input == "molecule" else SAMPLES
    batch = make_batch(samples)
    torch.testing.assert_close(gin(batch), looped_embeddings(gin, batch), rtol=1e-4, atol=1e-4)


def test_equals_the_loop_when_only_one_direction_of_a_bond_is_left(
    make_batch: MakeBatch, make_task: MakeTask, randomize: Randomize
) -> None:
    batch = make_batch([["CC(=O)Oc1ccccc1"], ["CCN"]])
    bonds = graphs(batch)
    kept = torch.rand(len(bonds.target), generator=torch.Generator().manual_seed(0)) > 0.4
    batch = with_graphs(batch, source=bonds.source[kept], target=bonds.target[kept], bond_codes=bonds.bond_codes[kept])
    gin = build(GIN(hidden_dim=8, num_layers=3), make_task("molecule"), randomize)
    expected = looped_embeddings(gin, batch)
    torch.testing.assert_close(gin(batch), expected, rtol=1e-4, atol=1e-4)
    gradient = torch.autograd.grad(gin(batch).square().sum(), list(gin.parameters()))
    expected_gradient = torch.autograd.grad(expected.square().sum(), list(gin.parameters()))
    for actual, wanted in zip(gradient, expected_gradient, strict=True):
        torch.testing.assert_close(actual, wanted, rtol=1e-3, atol=1e-2)


@pytest.mark.parametrize("samples", [[["C"]], [["O"], ["[NH4+]"], ["[Na+].[Cl-]"]]])
def test_molecules_without_bonds_equal_the_loop(
    samples: list[list[str]], make_batch: MakeBatch, make_task: MakeTask, randomize: Randomize
) -> None:
    gin = build(GIN(hidden_dim=8, num_layers=2), make_task("molecule"), randomize)
    batch = make_batch(samples)
    assert len(graphs(batch).target) == 0
    torch.testing.assert_close(gin(batch), looped_embeddings(gin, batch), rtol=1e-4, atol=1e-4)


def test_columns_of_the_atom_codes_share_no_embeddings(make_task: MakeTask) -> None:
    gin = GIN(hidden_dim=4)
    gin.build(make_task("molecule"))
    assert gin.atom_embedding.num_embeddings == sum(ATOM_CODE_SIZES.values())
    largest = torch.tensor([list(ATOM_CODE_SIZES.values())]) - 1
    rows = (torch.cat([torch.zeros_like(largest), largest]) + gin.code_offsets).flatten().tolist()
    assert len(set(rows)) == len(rows)
    assert (min(rows), max(rows)) == (0, gin.atom_embedding.num_embeddings - 1)


def test_a_product_embeds_atoms_as_the_sum_of_the_embeddings_of_their_codes(
    make_batch: MakeBatch, make_task: MakeTask, randomize: Randomize
) -> None:
    gin = build(GIN(hidden_dim=8), make_task("molecule"), randomize)
    codes = graphs(make_batch([["CC(=O)Oc1ccccc1"], ["[Na+].[Cl-]"]])).atom_codes
    table = gin.atom_embedding.weight
    expected = gin.atom_embedding(codes + gin.code_offsets)
    marked = multi_hot(codes, gin.code_offsets, len(table), torch.bfloat16)
    assert marked.dtype == torch.bfloat16
    assert marked.sum(dim=1).tolist() == [len(ATOM_CODE_SIZES)] * len(codes)
    torch.testing.assert_close(marked.float() @ table, expected)


def test_bond_codes_matter(make_batch: MakeBatch, make_task: MakeTask, randomize: Randomize) -> None:
    gin = build(GIN(hidden_dim=8, num_layers=1), make_task("molecule"), randomize)
    batch = make_batch([["CCO"]])
    changed = with_graphs(batch, bond_codes=graphs(batch).bond_codes + 1)
    assert not torch.allclose(gin(batch), gin(changed))


def test_autocast_to_bfloat16_stays_close_to_float32(
    make_batch: MakeBatch, make_task: MakeTask, randomize: Randomize
) -> None:
    gin = build(GIN(hidden_dim=16, num_layers=2), make_task("molecule"), randomize)
    batch = make_batch([["CC(=O)Oc1ccccc1"], ["CCN"], ["C"]])
    expected = gin(batch)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        actual = gin(batch)
        actual.float().sum().backward()
    assert (actual.float() - expected).norm() < 0.05 * expected.norm()
    assert all(parameter.grad is not None for parameter in gin.parameters())


def test_dropout_changes_training_alone(make_batch: MakeBatch, make_task: MakeTask, randomize: Randomize) -> None:
    batch = make_batch([["CC(=O)Oc1ccccc1"], ["CCN"]])
    gin = build(GIN(hidden_dim=16, num_layers=2, dropout=0.5), make_task("molecule"), randomize)
    assert torch.equal(gin(batch), gin(batch))
    torch.manual_seed(0)
    gin.train()
    assert not torch.equal(gin(batch), gin(batch))
