import math
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from datamodules.batch import Batch, FingerprintBatch
from datamodules.drug_task import DrugTask
from datamodules.tables.columns import InputKind
from modules.encoders import FingerprintMLP

MakeBatch = Callable[[list[list[str]]], Batch]
MakeTask = Callable[[InputKind], DrugTask]
Randomize = Callable[[nn.Module], None]

BINS = 64


def build(task: DrugTask, randomize: Randomize, molecule_dims: list[int] | None = None) -> FingerprintMLP:
    encoder = FingerprintMLP([16, 8], molecule_dims=molecule_dims)
    encoder.build(task)
    randomize(encoder)
    return encoder


def first_layer_input(encoder: FingerprintMLP, batch: Batch) -> Tensor:
    """Inputs of the layers, which a linear layer of ones on the diagonal returns unchanged."""
    width = encoder.state_dict()["layers.0.weight"].shape[1]
    identity = nn.Linear(width, width)
    nn.init.eye_(identity.weight)
    nn.init.zeros_(identity.bias)
    encoder.layers = nn.Sequential(identity)
    embeddings = encoder(batch)
    assert isinstance(embeddings, Tensor)
    return embeddings


def two_molecules(make_batch: MakeBatch, molecules_per_sample: int) -> Batch:
    """The counts {1: 3, 2: 1} and {1: 1, 5: 7}, of one sample or of two."""
    samples = [["C", "C"]] if molecules_per_sample == 2 else [["C"], ["C"]]
    counts = FingerprintBatch(
        molecule=torch.tensor([0, 0, 1, 1]),
        bin=torch.tensor([1, 2, 1, 5]),
        count=torch.tensor([3.0, 1.0, 1.0, 7.0]),
        shape=(2, BINS),
    )
    return replace(make_batch(samples), fingerprints=counts)


def row(values: dict[int, float], size: int = BINS) -> list[float]:
    return [values.get(place, 0.0) for place in range(size)]


def test_a_molecule_is_the_logarithm_of_one_plus_each_count(make_batch: MakeBatch, make_task: MakeTask) -> None:
    encoder = FingerprintMLP([8])
    encoder.build(make_task("molecule"))
    log = math.log
    expected = torch.tensor([row({1: log(4), 2: log(2)}), row({1: log(2), 5: log(8)})])
    torch.testing.assert_close(first_layer_input(encoder, two_molecules(make_batch, 1)), expected)


def test_a_reaction_is_the_signed_logarithm_of_product_minus_reactants(
    make_batch: MakeBatch, make_task: MakeTask
) -> None:
    encoder = FingerprintMLP([8])
    encoder.build(make_task("reaction"))
    expected = torch.tensor([row({1: -math.log(3), 2: -math.log(2), 5: math.log(8)})])
    torch.testing.assert_close(first_layer_input(encoder, two_molecules(make_batch, 2)), expected)


def test_pairs_without_shared_layers_are_combined_as_counts(make_batch: MakeBatch, make_task: MakeTask) -> None:
    log = math.log
    batch = two_molecules(make_batch, 2)
    ordered, symmetric = FingerprintMLP([8], molecule_dims=[]), FingerprintMLP([8], molecule_dims=[])
    ordered.build(replace(make_task("pair"), ordered_pairs=True))
    symmetric.build(make_task("pair"))
    both = {1: log(4), 2: log(2), BINS + 1: log(2), BINS + 5: log(8)}
    torch.testing.assert_close(first_layer_input(ordered, batch), torch.tensor([row(both, 2 * BINS)]))
    total = {1: log(5), 2: log(2), 5: log(8)}
    difference = {BINS + 1: log(3), BINS + 2: log(2), BINS + 5: log(8)}
    torch.testing.assert_close(first_layer_input(symmetric, batch), torch.tensor([row(total | difference, 2 * BINS)]))


def test_only_the_difference_of_a_reaction_is_read(
    make_batch: MakeBatch, make_task: MakeTask, randomize: Randomize
) -> None:
    encoder = build(make_task("reaction"), randomize)
    unchanged = encoder(make_batch([["CCO", "CCO"], ["c1ccccc1N", "c1ccccc1N"], ["[Na+].[Cl-]", "[Na+].[Cl-]"]]))
    torch.testing.assert_close(unchanged, unchanged[:1].expand(3, -1))
    bystander = encoder(make_batch([["CCO", "CC=O"], ["CCO.c1ccccc1", "CC=O.c1ccccc1"]]))
    torch.testing.assert_close(bystander[0], bystander[1])
    assert not torch.allclose(bystander[0], unchanged[0])


@pytest.mark.parametrize("molecule_dims", [None, [], [12, 6]])
def test_the_order_of_a_pair_matters_only_if_it_is_ordered(
    molecule_dims: list[int] | None, make_batch: MakeBatch, make_task: MakeTask, randomize: Randomize
) -> None:
    batch, swapped = make_batch([["CCO", "c1ccccc1"]]), make_batch([["c1ccccc1", "CCO"]])
    symmetric = build(make_task("pair"), randomize, molecule_dims)
    assert torch.equal(symmetric(batch), symmetric(swapped))
    ordered = build(replace(make_task("pair"), ordered_pairs=True), randomize, molecule_dims)
    assert not torch.allclose(ordered(batch), ordered(swapped))


@pytest.mark.parametrize("input", ["pair", "reaction"])
def test_the_shared_layers_read_each_molecule_by_itself(
    input: InputKind, make_batch: MakeBatch, make_task: MakeTask
) -> None:
    encoder = FingerprintMLP([8], molecule_dims=[1])
    encoder.build(replace(make_task(input), ordered_pairs=True) if input == "pair" else make_task(input))
    encoder.eval()
    linear = encoder.molecule_layers[0]
    assert isinstance(linear, nn.Linear)
    with torch.no_grad():
        linear.weight.copy_(torch.tensor([row({1: 2.0, 2: 1.0, 5: 3.0})]))
        linear.bias.fill_(0.5)
    # Batch norm with its initial statistics divides by sqrt(1 + 1e-5).
    scale = math.sqrt(1 + 1e-5)
    first = (2 * math.log(4) + math.log(2) + 0.5) / scale
    second = (2 * math.log(2) + 3 * math.log(8) + 0.5) / scale
    expected = [second - first, second] if input == "reaction" else [first, second]
    torch.testing.assert_close(first_layer_input(encoder, two_molecules(make_batch, 2)), torch.tensor([expected]))


@pytest.mark.parametrize(
    ("input", "molecule_dims", "shared", "following"),
    [
        ("molecule", None, [], [(BINS, 512), (512, 256)]),
        ("reaction", None, [], [(BINS, 512), (512, 256)]),
        ("pair", None, [(BINS, 512)], [(1024, 256)]),
        ("pair", [], [], [(2 * BINS, 512), (512, 256)]),
        ("molecule", [32], [(BINS, 32)], [(32, 256)]),
        ("reaction", [32, 16], [(BINS, 32), (32, 16)], [(32, 256)]),
    ],
)
def test_sizes_of_the_layers(
    input: InputKind,
    molecule_dims: list[int] | None,
    shared: list[tuple[int, int]],
    following: list[tuple[int, int]],
    make_task: MakeTask,
) -> None:
    encoder = FingerprintMLP(dropout=0.3, molecule_dims=molecule_dims)
    encoder.build(make_task(input))
    linear = [layer for layer in encoder.modules() if isinstance(layer, nn.Linear)]
    assert [(layer.in_features, layer.out_features) for layer in linear] == [*shared, *following]
    assert {layer.p for layer in encoder.modules() if isinstance(layer, nn.Dropout)} == {0.3}
    assert encoder.output_dim == 256


def test_no_layers_are_refused() -> None:
    with pytest.raises(ValueError, match="hidden_dims: expected one layer size or more, got an empty list"):
        FingerprintMLP([])
    with pytest.raises(ValueError, match="molecule_dims: expected sizes of 1 or more"):
        FingerprintMLP(molecule_dims=[0])


@pytest.mark.parametrize("kind", ["molecule", "reaction", "pair"])
def test_embeddings_and_gradients_are_those_of_dense_counts(
    kind: InputKind, make_task: MakeTask, make_batch: MakeBatch, randomize: Randomize
) -> None:
    encoder = build(make_task(kind), randomize, [12] if kind == "pair" else [])
    samples = [["CCO", "CCN"], ["c1ccccc1", "CO"], ["C", "CCCl"]]
    batch = make_batch(samples if kind != "molecule" else [[text] for pair in samples for text in pair])
    counts = batch.fingerprints
    assert counts is not None
    weights: list[Tensor | None] = []
    embeddings = []
    for fingerprints in (counts, counts.dense()):
        encoder.zero_grad()
        if isinstance(fingerprints, Tensor):
            dense = fingerprints[1::2] - fingerprints[0::2] if kind == "reaction" else fingerprints
            found = dense.sign() * dense.abs().log1p()
            if kind == "pair":
                found = encoder.molecule_layers(found)
                found = (
                    torch.cat([found[0::2], found[1::2]], dim=1)
                    if not encoder.task.symmetric
                    else torch.cat([found[0::2] + found[1::2], (found[0::2] - found[1::2]).abs()], dim=1)
                )
            embeddings.append(encoder.layers(found))
        else:
            embeddings.append(encoder(batch))
        embeddings[-1].square().sum().backward()
        weights.append(next(encoder.parameters()).grad)
    torch.testing.assert_close(embeddings[0], embeddings[1])
    torch.testing.assert_close(weights[0], weights[1])
