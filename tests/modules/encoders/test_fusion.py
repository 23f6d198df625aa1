from collections.abc import Callable

import pytest
import torch
from torch import nn

from datamodules.batch import Batch
from datamodules.drug_task import DrugTask
from datamodules.tables.columns import InputKind
from modules.encoders import GIN, FingerprintMLP, Fusion

MakeBatch = Callable[[list[list[str]]], Batch]
MakeTask = Callable[[InputKind], DrugTask]
Randomize = Callable[[nn.Module], None]


@pytest.mark.parametrize(("input", "size"), [("molecule", 6 + 5), ("reaction", 12 + 5), ("pair", 12 + 5)])
def test_the_embeddings_are_concatenated(
    input: InputKind, size: int, make_batch: MakeBatch, make_task: MakeTask, randomize: Randomize
) -> None:
    parts = [GIN(hidden_dim=6, num_layers=1), FingerprintMLP([5])]
    fusion = Fusion([*parts])
    fusion.build(make_task(input))
    randomize(fusion)
    sample = ["CCO"] if input == "molecule" else ["CCO", "CC=O"]
    batch = make_batch([sample, sample[::-1]])
    assert fusion.output_dim == size
    assert torch.equal(fusion(batch), torch.cat([part(batch) for part in parts], dim=1))


def test_a_fusion_may_hold_another(make_batch: MakeBatch, make_task: MakeTask, randomize: Randomize) -> None:
    graph, small, large = GIN(hidden_dim=6, num_layers=1), FingerprintMLP([3]), FingerprintMLP([5])
    fusion = Fusion([Fusion([graph, small]), large])
    fusion.build(make_task("molecule"))
    randomize(fusion)
    batch = make_batch([["CCO"], ["c1ccccc1"]])
    assert fusion.output_dim == 6 + 3 + 5
    assert torch.equal(fusion(batch), torch.cat([graph(batch), small(batch), large(batch)], dim=1))


def test_the_default_is_a_graph_and_a_fingerprint_with_dropout(make_task: MakeTask) -> None:
    fusion = Fusion()
    fusion.build(make_task("molecule"))
    graph, fingerprint = fusion.encoders
    assert isinstance(graph, GIN)
    assert isinstance(fingerprint, FingerprintMLP)
    assert fingerprint.dropout == 0.2
    assert fusion.output_dim == 128 + 256
