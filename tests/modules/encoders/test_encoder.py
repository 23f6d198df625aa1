from collections.abc import Callable
from dataclasses import replace
from typing import get_args

import pytest
import torch
from torch import Tensor, nn

from datamodules.batch import Batch
from datamodules.drug_task import DrugTask
from datamodules.tables.columns import InputKind
from modules.encoders import GCN, GIN, Encoder, FingerprintMLP, Fusion
from modules.encoders.encoder import combine_molecules, combined_size
from tests.datamodules.batch_parts import graphs, with_graphs

MakeBatch = Callable[[list[list[str]]], Batch]
MakeTask = Callable[[InputKind], DrugTask]
Randomize = Callable[[nn.Module], None]

INPUTS = tuple(kind for kind in get_args(InputKind) if kind != "array")
MOLECULES = ["CC(=O)Oc1ccccc1C(=O)O", "C", "[Na+].[Cl-]", "C[C@H](N)C(=O)O", "N#Cc1ccncc1", "CCO"]
FIRST, SECOND = torch.tensor([[1.0, 5.0], [0.0, 2.0]]), torch.tensor([[4.0, 3.0], [1.0, 2.0]])
INTERLEAVED = torch.stack([FIRST, SECOND], dim=1).flatten(0, 1)


def small_encoder(name: str) -> Encoder:
    makers: dict[str, Callable[[], Encoder]] = {
        "GIN": lambda: GIN(hidden_dim=16, num_layers=2),
        "GCN": lambda: GCN(hidden_dim=16, num_layers=2),
        "FingerprintMLP": lambda: FingerprintMLP([16, 8]),
        "Fusion": lambda: Fusion([GIN(hidden_dim=8, num_layers=1), FingerprintMLP([8])]),
    }
    return makers[name]()


ALL_ENCODERS = pytest.mark.parametrize("name", ["GIN", "GCN", "FingerprintMLP", "Fusion"])
ALL_INPUTS = pytest.mark.parametrize("input", INPUTS)


def samples_of(input: InputKind) -> list[list[str]]:
    if input in ("molecule", "drug_protein"):
        return [[smiles] for smiles in MOLECULES]
    return [[first, second] for first, second in zip(MOLECULES, MOLECULES[1:] + MOLECULES[:1], strict=True)]


def shuffle_atoms(batch: Batch, seed: int) -> Batch:
    """The same batch with the atoms within each molecule in another order."""
    generator = torch.Generator().manual_seed(seed)
    molecules = graphs(batch)
    starts = torch.cumsum(molecules.atoms_per_molecule, 0) - molecules.atoms_per_molecule
    sizes = zip(starts.tolist(), molecules.atoms_per_molecule.tolist(), strict=True)
    old = torch.cat([start + torch.randperm(size, generator=generator) for start, size in sizes])
    new = torch.argsort(old)
    order = torch.argsort(new[molecules.target], stable=True)
    return with_graphs(
        batch,
        atom_codes=molecules.atom_codes[old],
        source=new[molecules.source[order]],
        target=new[molecules.target[order]],
        bond_codes=molecules.bond_codes[order],
    )


def test_a_molecule_keeps_its_vector(make_task: MakeTask) -> None:
    assert torch.equal(combine_molecules(FIRST, make_task("molecule")), FIRST)


def test_a_reaction_is_the_difference_concatenated_with_the_product(make_task: MakeTask) -> None:
    expected = torch.tensor([[3.0, -2.0, 4.0, 3.0], [1.0, 0.0, 1.0, 2.0]])
    assert torch.equal(combine_molecules(INTERLEAVED, make_task("reaction")), expected)


def test_an_ordered_pair_is_both_vectors(make_task: MakeTask) -> None:
    expected = torch.tensor([[1.0, 5.0, 4.0, 3.0], [0.0, 2.0, 1.0, 2.0]])
    assert torch.equal(combine_molecules(INTERLEAVED, replace(make_task("pair"), ordered_pairs=True)), expected)


def test_a_pair_in_any_order_is_the_sum_concatenated_with_the_absolute_difference(make_task: MakeTask) -> None:
    expected = torch.tensor([[5.0, 8.0, 3.0, 2.0], [1.0, 4.0, 1.0, 0.0]])
    assert torch.equal(combine_molecules(INTERLEAVED, make_task("pair")), expected)
    swapped = torch.stack([SECOND, FIRST], dim=1).flatten(0, 1)
    assert torch.equal(combine_molecules(swapped, make_task("pair")), expected)


@ALL_INPUTS
@pytest.mark.parametrize("ordered_pairs", [False, True])
def test_combined_size_is_the_width_of_what_is_combined(
    input: InputKind, ordered_pairs: bool, make_task: MakeTask
) -> None:
    task = replace(make_task(input), ordered_pairs=ordered_pairs)
    combined = combine_molecules(INTERLEAVED, task)
    assert combined.shape[1] == combined_size(2, task) == (4 if input in ("reaction", "pair") else 2)


@ALL_ENCODERS
@ALL_INPUTS
class TestEveryEncoder:
    @pytest.fixture
    def batch(self, make_batch: MakeBatch, input: InputKind) -> Batch:
        return make_batch(samples_of(input))

    @pytest.fixture
    def encoder(self, make_task: MakeTask, randomize: Randomize, name: str, input: InputKind) -> Encoder:
        encoder = small_encoder(name)
        encoder.build(make_task(input))
        randomize(encoder)
        return encoder

    def test_embeddings_have_the_stated_size(self, encoder: Encoder, batch: Batch) -> None:
        for training in (True, False):
            embeddings = encoder.train(training)(batch)
            assert embeddings.shape == (len(batch), encoder.output_dim)
            assert embeddings.dtype == torch.float32
            assert embeddings.isfinite().all()

    def test_a_gradient_reaches_every_parameter(self, encoder: Encoder, batch: Batch) -> None:
        embeddings = encoder(batch)
        (embeddings * torch.randn(embeddings.shape, generator=torch.Generator().manual_seed(1))).sum().backward()
        for name, parameter in encoder.named_parameters():
            assert parameter.grad is not None, name
            assert parameter.grad.abs().sum() > 0, name

    def test_a_batch_equals_its_samples_one_by_one(
        self, encoder: Encoder, batch: Batch, make_batch: MakeBatch, input: InputKind
    ) -> None:
        alone = torch.cat([encoder(make_batch([sample])) for sample in samples_of(input)])
        torch.testing.assert_close(encoder(batch), alone, rtol=1e-4, atol=1e-5)

    def test_the_order_of_atoms_does_not_matter(self, encoder: Encoder, batch: Batch) -> None:
        shuffled = shuffle_atoms(batch, seed=0)
        assert not torch.equal(graphs(shuffled).atom_codes, graphs(batch).atom_codes)
        assert (graphs(shuffled).target.diff() >= 0).all()
        torch.testing.assert_close(encoder(shuffled), encoder(batch), rtol=1e-4, atol=1e-5)

    def test_the_state_dict_brings_a_new_encoder_to_the_same_output(
        self, encoder: Encoder, batch: Batch, make_task: MakeTask, name: str, input: InputKind
    ) -> None:
        other = small_encoder(name)
        other.build(make_task(input))
        other.eval()
        assert not torch.equal(other(batch), encoder(batch))
        other.load_state_dict(encoder.state_dict())
        assert torch.equal(other(batch), encoder(batch))


@ALL_ENCODERS
def test_swapping_a_pair_matters_only_if_it_is_ordered(
    name: str, make_batch: MakeBatch, make_task: MakeTask, randomize: Randomize
) -> None:
    samples = [["CCO", "c1ccccc1"], ["C", "CC(=O)O"]]
    batch, swapped = make_batch(samples), make_batch([sample[::-1] for sample in samples])
    for ordered in (False, True):
        encoder = small_encoder(name)
        encoder.build(replace(make_task("pair"), ordered_pairs=ordered))
        randomize(encoder)
        same = torch.isclose(encoder(batch), encoder(swapped), rtol=1e-4, atol=1e-5)
        assert bool(same.all()) is not ordered


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("name", ["GIN", "FingerprintMLP"])
@ALL_INPUTS
def test_cuda_gives_the_embeddings_and_gradients_of_the_cpu(
    name: str, input: InputKind, make_batch: MakeBatch, make_task: MakeTask, randomize: Randomize
) -> None:
    encoder = small_encoder(name)
    encoder.build(make_task(input))
    randomize(encoder)
    batch = make_batch(samples_of(input))

    def embeddings_and_gradients(device: str) -> list[Tensor]:
        encoder.to(device)
        embeddings = encoder(batch.to(device))
        gradients = torch.autograd.grad(embeddings.square().mean(), list(encoder.parameters()))
        return [embeddings.detach().cpu(), *(gradient.cpu() for gradient in gradients)]

    for actual, expected in zip(embeddings_and_gradients("cuda"), embeddings_and_gradients("cpu"), strict=True):
        torch.testing.assert_close(actual, expected, rtol=1e-3, atol=1e-4)
