"""Layers of the model: freezing, resetting and copying."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from base.errors import InputError
from modules.drug_classifier import DrugClassifier
from modules.encoders import GCN, GIN, Encoder, FingerprintMLP, Fusion
from modules.heads.classifier_head import ClassifierHead
from modules.heads.experts import Experts
from modules.heads.head import HeadSettings
from modules.losses import CrossEntropyLoss, SupervisedContrastiveLoss
from modules.network import Network, Part
from tests.modules.small_model import TASK, contrast, make_batch, make_model, step


@pytest.mark.parametrize(
    ("frozen", "trained"),
    [
        ([], ["encoder", "projection", "classifier"]),
        (["projection"], ["encoder", "classifier"]),
        (["classifier"], ["encoder", "projection"]),
        (["projection", "classifier"], ["encoder"]),
        # Without the contrast, which would train nothing but the projection.
        (["encoder"], ["classifier"]),
    ],
    ids=str,
)
def test_exactly_the_frozen_parts_get_no_gradient_and_keep_their_statistics(
    frozen: list[Part], trained: list[Part]
) -> None:
    losses = contrast(SupervisedContrastiveLoss(), projection_dims=[6, 4])
    model = make_model(contrast=losses, head=HeadSettings(hidden_dims=[6])).train()
    network = model.network
    network.freeze(frozen)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    step(model, make_batch()).total.backward()  # type: ignore[no-untyped-call]
    for name, parameter in network.named_parameters():
        assert (parameter.grad is not None) == (name.split(".")[0] in trained), name
    for name, value in network.state_dict().items():
        if name.endswith("running_mean"):
            assert torch.equal(value, before[name]) == (name.split(".")[0] not in trained), name


def test_the_encoder_learns_through_a_frozen_classifier() -> None:
    model = make_model().train()

    def gradients() -> list[Tensor]:
        return list(torch.autograd.grad(step(model, make_batch()).total, list(model.network.encoder.parameters())))

    expected = gradients()
    model.network.freeze(["classifier"])
    torch.testing.assert_close(gradients(), expected)


def test_a_part_that_is_no_longer_frozen_trains_again() -> None:
    network = make_model(head=HeadSettings(hidden_dims=[6], dropout=0.5)).network.train()
    fixed = next(network.encoder.parameters()).requires_grad_(False)
    network.freeze(["encoder", "classifier"])
    assert not any(module.training for module in network.modules_of(["encoder", "classifier"]))
    network.freeze(["encoder"])
    assert all(module.training for module in network.classifier.modules())
    assert all(parameter.requires_grad for parameter in network.classifier.parameters())
    assert not any(module.training for module in network.encoder.modules())
    network.freeze([])
    assert all(module.training for module in network.modules())
    # What the encoder itself keeps fixed stays so.
    assert [parameter for parameter in network.parameters() if not parameter.requires_grad] == [fixed]


def test_with_a_frozen_classifier_of_class_factors_only_these_train() -> None:
    model = make_model(head=HeadSettings(class_scales=True)).train()
    model.network.freeze(["encoder", "classifier"])
    step(model, make_batch()).total.backward()  # type: ignore[no-untyped-call]
    trained = [name for name, parameter in model.named_parameters() if parameter.grad is not None]
    assert trained == ["network.classifier.1.weight"]


def test_reset_parts_are_initialized_equally_from_a_seed_and_others_stay() -> None:
    first, second = make_model().network, make_model().network
    before = {name: value.clone() for name, value in first.state_dict().items()}
    random_state = torch.random.get_rng_state()
    first.reset(["classifier"], 3)
    second.reset(["classifier"], 3)
    assert torch.equal(torch.random.get_rng_state(), random_state)
    for name, value in first.state_dict().items():
        assert torch.equal(value, second.state_dict()[name])
        assert torch.equal(value, before[name]) == (not name.startswith("classifier."))


def test_a_reset_draws_the_weights_of_a_new_network() -> None:
    head = HeadSettings(hidden_dims=[6], cosine_scale=3.0, class_scales=True)
    layers: tuple[Encoder, HeadSettings, list[int]] = Fusion([GCN(8, 2), GIN(8, 1), FingerprintMLP([8])]), head, [5, 4]
    network = Network(*layers)
    with torch.random.fork_rng():
        torch.manual_seed(3)
        network.build(TASK)
    expected = {name: value.clone() for name, value in network.state_dict().items()}
    for parameter in network.parameters():
        torch.nn.init.constant_(parameter, torch.nan)
    network.reset(["encoder", "projection", "classifier"], 3)
    for name, value in network.state_dict().items():
        assert torch.equal(value, expected[name]), name


def test_a_layer_that_cannot_be_reset_is_named() -> None:
    network = make_model().network
    network.encoder.shift = torch.nn.Parameter(torch.zeros(8))
    with pytest.raises(InputError, match=r"stages\.reset: expected .* reset_parameters, .* got FingerprintMLP without"):
        network.reset(["encoder"], 3)
    network.reset(["projection", "classifier"], 3)


def test_a_frozen_copy_does_not_follow_the_network() -> None:
    network = make_model().network
    copied = network.frozen_copy()
    expected = copied.logits(make_batch())
    network.reset(["encoder", "classifier"], 5)
    assert torch.equal(copied.logits(make_batch()), expected)
    assert not any(parameter.requires_grad for parameter in copied.parameters())


@pytest.mark.parametrize("hidden_dims", [None, [6]])
def test_a_cosine_head_is_bounded_by_its_scale(hidden_dims: list[int] | None) -> None:
    network = make_model(head=HeadSettings(cosine_scale=3.0, hidden_dims=hidden_dims)).network.eval()
    logits = network.classifier(100 * torch.randn(20, network.encoder.output_dim))
    assert logits.shape == (20, 3)
    assert logits.abs().max() <= 3.0001


def test_with_a_classifier_for_each_encoder_no_encoder_feels_the_error_of_another() -> None:
    encoder = Fusion([FingerprintMLP([8]), FingerprintMLP([4])])
    model = DrugClassifier(encoder, CrossEntropyLoss(), head=HeadSettings(per_encoder=True))
    model.build(TASK)
    heads, batch = model.network.classifier, make_batch()
    assert isinstance(heads, Experts)
    alone = [head(part(batch)) for head, part in zip(heads.heads, encoder.encoders, strict=True)]
    torch.testing.assert_close(model.network(batch)[1], (alone[0] + alone[1]) / 2)
    expected = sum(functional.cross_entropy(logits, batch.labels) for logits in alone) / 2
    torch.testing.assert_close(step(model, batch).total, expected)


def test_a_single_encoder_has_a_single_classifier() -> None:
    network = make_model(head=HeadSettings(per_encoder=True)).network
    assert isinstance(network.classifier, ClassifierHead)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"dropout": 1.0}, r"model\.head\.dropout: expected a number from 0 to below 1, got 1\.0"),
        ({"cosine_scale": 0.0}, r"model\.head\.cosine_scale: expected a positive finite number, got 0\.0"),
        ({"experts": 0}, r"model\.head\.experts: expected 1 or more, got 0"),
        (
            {"expert_diversity": -0.5},
            r"model\.head\.expert_diversity: expected a finite number of 0 or more, got -0\.5",
        ),
        ({"experts": 2, "per_encoder": True}, r"model\.head\.experts: expected 1 with per_encoder, got 2"),
    ],
    ids=str,
)
def test_head_settings_out_of_range_are_named(settings: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        HeadSettings(**settings)  # type: ignore[arg-type]
