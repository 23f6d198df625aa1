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


def build(task: DrugTask, randomize: Randomize) -> FingerprintMLP:
    encoder = FingerprintMLP([16, 8])
    encoder.build(task)
    randomize(encoder)
    return encoder


def first_layer_input(encoder: FingerprintMLP, batch: Batch) -> Tensor:
    """Inputs of the layers, which an empty stack returns unchanged."""
    encoder.layers = nn.Sequential()
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


def test_pairs_are_combined_as_counts(make_batch: MakeBatch, make_task: MakeTask) -> None:
    log = math.log
    batch = two_molecules(make_batch, 2)
    ordered, symmetric = FingerprintMLP([8]), FingerprintMLP([8])
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


def test_the_order_of_a_pair_matters_only_if_it_is_ordered(
    make_batch: MakeBatch, make_task: MakeTask, randomize: Randomize
) -> None:
    batch, swapped = make_batch([["CCO", "c1ccccc1"]]), make_batch([["c1ccccc1", "CCO"]])
    symmetric = build(make_task("pair"), randomize)
    assert torch.equal(symmetric(batch), symmetric(swapped))
    ordered = build(replace(make_task("pair"), ordered_pairs=True), randomize)
    assert not torch.allclose(ordered(batch), ordered(swapped))


@pytest.mark.parametrize(("input", "width"), [("molecule", BINS), ("reaction", BINS), ("pair", 2 * BINS)])
def test_sizes_of_the_layers(input: InputKind, width: int, make_task: MakeTask) -> None:
    encoder = FingerprintMLP(dropout=0.3)
    encoder.build(make_task(input))
    linear = [layer for layer in encoder.layers if isinstance(layer, nn.Linear)]
    assert [(layer.in_features, layer.out_features) for layer in linear] == [(width, 512), (512, 256)]
    assert {layer.p for layer in encoder.layers if isinstance(layer, nn.Dropout)} == {0.3}
    assert encoder.output_dim == 256


def test_no_layers_are_refused() -> None:
    with pytest.raises(ValueError, match="hidden_dims: expected one layer size or more, got an empty list"):
        FingerprintMLP([])
