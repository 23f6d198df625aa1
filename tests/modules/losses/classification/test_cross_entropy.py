import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from modules.losses import CrossEntropyLoss
from tests.modules.losses.drawn import draw_batch


def looped_loss(logits: Tensor, labels: Tensor, weights: Tensor, counts: Tensor, strength: float) -> float:
    total, total_weight = 0.0, 0.0
    for row, label in zip(logits.double(), labels.tolist(), strict=True):
        shifted = [float(row[c]) + strength * math.log(counts[c] / counts.sum()) for c in range(len(row))]
        log_sum = math.log(sum(math.exp(value) for value in shifted))
        total += float(weights[label]) * (log_sum - shifted[label])
        total_weight += float(weights[label])
    return total / total_weight


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), smoothing=st.sampled_from([0.0, 0.1, 0.9]))
def test_without_adjustment_it_is_the_weighted_mean_of_pytorch(seed: int, smoothing: float) -> None:
    logits, labels, weights, counts = draw_batch(seed)
    expected = functional.cross_entropy(logits, labels, weight=weights, label_smoothing=smoothing)
    actual = CrossEntropyLoss(label_smoothing=smoothing)(logits, labels, weights, counts)
    torch.testing.assert_close(actual, expected)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), strength=st.floats(0.1, 3.0))
def test_logit_adjustment_equals_a_loop(seed: int, strength: float) -> None:
    logits, labels, weights, counts = draw_batch(seed)
    actual = CrossEntropyLoss(logit_adjustment=strength)(logits, labels, weights, counts)
    expected = looped_loss(logits, labels, weights, counts, strength)
    assert actual.item() == pytest.approx(expected, rel=1e-5)


def test_equal_logits_under_adjustment_give_the_logarithm_of_the_prior() -> None:
    loss = CrossEntropyLoss(logit_adjustment=1.0)(
        torch.zeros(1, 2), torch.tensor([1]), torch.ones(2), torch.tensor([90, 10])
    )
    assert loss.item() == pytest.approx(math.log(10), rel=1e-6)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_a_class_without_samples_is_excluded_under_adjustment(smoothing: float) -> None:
    logits, _, weights, _ = draw_batch(0)
    labels, counts = torch.tensor([0, 1, 3, 3, 0, 1, 3]), torch.tensor([50, 20, 0, 5])
    logits.requires_grad_()
    loss = CrossEntropyLoss(logit_adjustment=1.0, label_smoothing=smoothing)
    actual = loss(logits, labels, weights, counts)
    actual.backward()
    assert logits.grad is not None
    assert torch.equal(logits.grad[:, 2], torch.zeros(7))
    if smoothing == 0:
        seen = torch.tensor([0, 1, 3])
        without = loss(logits[:, seen], torch.tensor([0, 1, 2, 2, 0, 1, 2]), weights[seen], counts[seen])
        torch.testing.assert_close(actual, without)
    assert actual.item() < 10


def test_samples_of_classes_without_training_samples_are_ignored_under_adjustment() -> None:
    logits, _, weights, _ = draw_batch(0, samples=3)
    counts = torch.tensor([50, 20, 0, 5])
    loss = CrossEntropyLoss(logit_adjustment=1.0)
    expected = loss(logits[:2], torch.tensor([0, 1]), weights, counts)
    torch.testing.assert_close(loss(logits, torch.tensor([0, 1, 2]), weights, counts), expected)


def test_counts_are_unused_without_adjustment() -> None:
    logits, labels, weights, counts = draw_batch(0)
    loss = CrossEntropyLoss()
    assert torch.equal(loss(logits, labels, weights, counts), loss(logits, labels, weights, torch.zeros_like(counts)))


@pytest.mark.parametrize("adjustment", [0.0, 1.0])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_a_batch_of_weight_zero_is_a_zero_connected_to_the_graph(adjustment: float, smoothing: float) -> None:
    logits, _, _, counts = draw_batch(0, samples=2)
    logits.requires_grad_()
    weights = torch.tensor([0.0, 0.0, 1.0, 1.0])
    loss = CrossEntropyLoss(adjustment, smoothing)(logits, torch.tensor([0, 1]), weights, counts)
    loss.backward()
    assert loss.item() == 0
    assert logits.grad is not None
    assert torch.equal(logits.grad, torch.zeros_like(logits))


def test_without_counts_the_loss_is_a_finite_zero() -> None:
    logits, labels, weights, counts = draw_batch(0)
    assert CrossEntropyLoss(1.0)(logits, labels, weights, torch.zeros_like(counts)).item() == 0


def test_low_precision_and_autocast_are_computed_in_fp32() -> None:
    logits, labels, weights, counts = draw_batch(0)
    loss = CrossEntropyLoss(logit_adjustment=1.0)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        actual = loss(logits.bfloat16(), labels, weights.bfloat16(), counts)
    assert actual.dtype == torch.float32
    expected = loss(logits.bfloat16().float(), labels, weights.bfloat16().float(), counts)
    assert torch.equal(actual, expected)


def test_large_logits_stay_finite() -> None:
    logits = torch.tensor([[1e4, -1e4], [-1e4, 1e4]], requires_grad=True)
    loss = CrossEntropyLoss()(logits, torch.tensor([0, 0]), torch.ones(2), torch.ones(2))
    loss.backward()
    assert loss.item() == pytest.approx(1e4)
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


@pytest.mark.parametrize("value", [-0.5, math.inf, math.nan])
def test_the_adjustment_must_not_be_negative(value: float) -> None:
    with pytest.raises(ValueError, match="logit_adjustment: expected a finite number of 0 or more"):
        CrossEntropyLoss(logit_adjustment=value)


@pytest.mark.parametrize("value", [-0.1, 1.0, math.nan])
def test_the_smoothing_must_lie_below_one(value: float) -> None:
    with pytest.raises(ValueError, match=r"label_smoothing: expected a number from 0 to below 1"):
        CrossEntropyLoss(label_smoothing=value)


@pytest.mark.parametrize(
    ("logits", "labels", "weights", "counts", "message"),
    [
        (torch.zeros(3), torch.zeros(3), torch.ones(2), torch.ones(2), r"logits: .* \(B, C\)"),
        (torch.zeros(3, 2), torch.zeros(2), torch.ones(2), torch.ones(2), r"labels: .* \(3,\), got \(2,\)"),
        (torch.zeros(3, 2), torch.zeros(3), torch.ones(3), torch.ones(2), r"class_weights: .* \(2,\)"),
        (torch.zeros(3, 2), torch.zeros(3), torch.ones(2), torch.ones(3), r"class_counts: .* \(2,\)"),
    ],
)
def test_wrong_shapes_are_named(logits: Tensor, labels: Tensor, weights: Tensor, counts: Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CrossEntropyLoss()(logits, labels, weights, counts)
