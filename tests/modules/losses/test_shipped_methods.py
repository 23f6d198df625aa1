"""Properties of the loss of every shipped method, with the settings of its YAML file."""

from __future__ import annotations

from typing import Any

import jsonargparse
import pytest
import torch
from torch import Tensor

from modules.losses import ClassificationLoss
from workflows.settings.config_files import CONFIGS
from workflows.settings.layers import read_command

METHODS = {
    path.stem: read_command(["--config", str(path)]).composition.settings["model"]
    for path in (CONFIGS / "method").glob("*.yaml")
}
LOSSES = {name: model["classification_loss"] for name, model in METHODS.items() if "classification_loss" in model}
pytestmark = pytest.mark.parametrize("name", sorted(LOSSES))


def without_schedule(settings: dict[str, Any]) -> dict[str, Any]:
    """The settings of a loss without references to those of the trainer."""
    inner = settings.get("init_args", {})
    kept = {name: without_schedule(value) if isinstance(value, dict) else value for name, value in inner.items()}
    return {**settings, "init_args": {name: value for name, value in kept.items() if "${" not in str(value)}}


def make_loss(name: str) -> ClassificationLoss:
    """The loss of a method, in an epoch by which every schedule has begun."""
    parser = jsonargparse.ArgumentParser()
    parser.add_subclass_arguments(ClassificationLoss, "loss")
    loss = parser.instantiate(parser.parse_object({"loss": without_schedule(LOSSES[name])})).loss
    assert isinstance(loss, ClassificationLoss)
    loss.set_epoch(1_000)
    torch.manual_seed(0)
    return loss


def value_and_gradient(loss: ClassificationLoss, logits: Tensor, *others: Any) -> tuple[Tensor, Tensor]:
    """Gradient of a loss with respect to the logits."""
    leaf = logits.clone().requires_grad_()
    value = loss(leaf, *others)
    value.backward()
    assert leaf.grad is not None
    return value.detach(), leaf.grad


COUNTS = torch.tensor([1, 40, 900, 0])
WEIGHTS = torch.tensor([0.5, 0.3, 0.2, 0.0])


def test_hard_batches_are_finite(name: str) -> None:
    loss = make_loss(name)
    generator = torch.Generator().manual_seed(0)
    logits, embeddings = torch.randn(6, 4, generator=generator), torch.randn(6, 8, generator=generator)
    for labels in (torch.tensor([0, 1, 2, 2, 1, 2]), torch.zeros(6, dtype=torch.int64)):
        for scale, dtype in ((1.0, torch.float32), (1e4, torch.bfloat16), (1e4, torch.float32)):
            for rows in (slice(0, 6), slice(0, 1)):
                hard = (scale * logits[rows]).to(dtype)
                value, gradient = value_and_gradient(loss, hard, labels[rows], WEIGHTS, COUNTS, embeddings[rows])
                assert value.isfinite()
                assert value.dtype == torch.float32
                assert gradient.isfinite().all()
    zeros, _ = value_and_gradient(loss, torch.zeros(2, 4), torch.tensor([0, 2]), WEIGHTS, COUNTS, torch.zeros(2, 8))
    assert zeros.isfinite()


def test_a_batch_of_weight_zero_is_a_zero_with_a_gradient(name: str) -> None:
    arguments = torch.tensor([3, 3]), WEIGHTS, COUNTS, torch.ones(2, 8)
    value, gradient = value_and_gradient(make_loss(name), torch.randn(2, 4), *arguments)
    assert value == 0
    assert torch.equal(gradient, torch.zeros(2, 4))


def test_the_order_of_classes_and_samples_does_not_matter(name: str) -> None:
    # No class is rare enough for softmax equalization to exclude it at random.
    loss = make_loss(name)
    generator = torch.Generator().manual_seed(1)
    logits, embeddings = torch.randn(9, 4, generator=generator), torch.randn(9, 8, generator=generator)
    labels, counts = torch.arange(9) % 4, torch.tensor([30, 40, 900, 500])
    weights = torch.tensor([0.4, 0.3, 0.2, 0.1])
    rows, classes = torch.randperm(9, generator=generator), torch.tensor([2, 0, 3, 1])
    moved = logits[rows][:, classes.argsort()], classes[labels[rows]], weights[classes.argsort()]
    again = *moved, counts[classes.argsort()], embeddings[rows]
    torch.testing.assert_close(loss(*again), loss(logits, labels, weights, counts, embeddings))


def test_a_larger_logit_of_the_label_lowers_the_loss(name: str) -> None:
    loss = make_loss(name)
    counts, labels = torch.tensor([5, 40, 900, 90]), torch.tensor([0, 1, 2, 3])
    values = []
    for better in (0.0, 1.0, 3.0):
        torch.manual_seed(0)
        values.append(float(loss(better * torch.eye(4), labels, torch.ones(4), counts, torch.ones(4, 8))))
    assert values == sorted(values, reverse=True)
