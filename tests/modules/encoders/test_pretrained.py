from collections.abc import Callable
from dataclasses import replace
from typing import get_args

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from base.errors import InputError
from datamodules.batch import Batch
from datamodules.chemistry.molecule_features import FeatureSettings
from datamodules.drug_task import DrugTask
from datamodules.tables.columns import InputKind
from modules.encoders import PretrainedMLP

MakeTask = Callable[[InputKind], DrugTask]
Randomize = Callable[[nn.Module], None]


def task_of(input: InputKind, make_task: MakeTask) -> DrugTask:
    return replace(make_task(input), features=FeatureSettings(2, 64, pretrained="minimol"))


def batch_of(vectors: Tensor, samples: int) -> Batch:
    return Batch(torch.arange(samples), torch.zeros(samples, dtype=torch.int64), vectors=vectors)


@pytest.mark.parametrize("input", [kind for kind in get_args(InputKind) if kind != "array"])
def test_embeddings_have_the_stated_size(input: InputKind, make_task: MakeTask) -> None:
    encoder = PretrainedMLP([16, 8])
    encoder.build(task_of(input, make_task))
    molecules = 1 if input in ("molecule", "drug_protein") else 2
    assert encoder(batch_of(torch.randn(4 * molecules, 512), 4)).shape == (4, encoder.output_dim)
    assert encoder.output_dim == 8 * molecules


def test_vectors_are_standardized_before_the_layers(make_task: MakeTask) -> None:
    encoder = PretrainedMLP([8])
    encoder.build(task_of("molecule", make_task))
    identity = nn.Linear(512, 512)
    nn.init.eye_(identity.weight)
    nn.init.zeros_(identity.bias)
    encoder.layers = nn.Sequential(identity)
    vectors = 3 + 5 * torch.randn(200, 512, generator=torch.Generator().manual_seed(0))
    expected = (vectors - vectors.mean(0)) / (vectors.var(0, unbiased=False) + 1e-5).sqrt()
    torch.testing.assert_close(encoder(batch_of(vectors, 200)), expected, atol=1e-4, rtol=0)


def test_both_orders_of_a_pair_have_the_same_embedding(make_task: MakeTask, randomize: Randomize) -> None:
    encoder = PretrainedMLP([16, 8])
    encoder.build(task_of("pair", make_task))
    randomize(encoder)
    vectors = torch.randn(6, 512, generator=torch.Generator().manual_seed(0))
    swapped = vectors.view(3, 2, 512).flip(1).reshape(6, 512)
    torch.testing.assert_close(encoder(batch_of(vectors, 3)), encoder(batch_of(swapped, 3)))


def test_it_learns_a_class_that_one_number_tells(make_task: MakeTask) -> None:
    torch.manual_seed(0)
    encoder = PretrainedMLP([16], dropout=0.0)
    encoder.build(task_of("molecule", make_task))
    head = nn.Linear(16, 2)
    vectors = torch.randn(64, 512)
    labels = (vectors[:, 7] > 0).long()
    optimizer = torch.optim.Adam([*encoder.parameters(), *head.parameters()], 0.01)
    for _ in range(30):
        loss = functional.cross_entropy(head(encoder(batch_of(vectors, 64))), labels)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    assert loss.item() < 0.1


def test_data_without_pretrained_vectors_are_refused(make_task: MakeTask) -> None:
    with pytest.raises(
        InputError, match=r"data\.pretrained: expected the pretrained model .* such as minimol; got null"
    ):
        PretrainedMLP().build(make_task("molecule"))


def test_arrays_are_refused(make_task: MakeTask) -> None:
    with pytest.raises(InputError, match=r"model\.encoder: expected .* PretrainedMLP, which reads input molecule"):
        PretrainedMLP().build(task_of("array", make_task))


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"hidden_dims": []}, "hidden_dims"), ({"hidden_dims": [8, 0]}, "hidden_dims"), ({"dropout": 1.0}, "dropout")],
)
def test_settings_out_of_range_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PretrainedMLP(**settings)  # type: ignore[arg-type]
