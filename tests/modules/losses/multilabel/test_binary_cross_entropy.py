import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from modules.losses import BinaryCrossEntropyLoss
from tests.modules.losses.multilabel.drawn_entries import draw_entries, gradient, looped_log_odds, looped_mean, slopes


def cross_entropy(logit: float, target: float) -> float:
    probability = 1 / (1 + math.exp(-logit))
    return -target * math.log(probability) - (1 - target) * math.log(1 - probability)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_without_settings_it_is_the_weighted_mean_of_pytorch_over_the_known_entries(seed: int) -> None:
    entries = draw_entries(seed)
    known = entries.labels >= 0
    weights = entries.weights.expand_as(entries.logits)[known]
    total = functional.binary_cross_entropy_with_logits(
        entries.logits[known], entries.labels[known].float(), weight=weights, reduction="sum"
    )
    torch.testing.assert_close(BinaryCrossEntropyLoss()(*entries.arguments), total / weights.sum())


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    strength=st.sampled_from([0.0, 0.5, 1.0]),
    power=st.sampled_from([0.0, 0.5, 1.0]),
    smoothing=st.sampled_from([0.0, 0.1, 0.9]),
)
def test_equals_a_loop(seed: int, strength: float, power: float, smoothing: float) -> None:
    entries = draw_entries(seed)
    loss = BinaryCrossEntropyLoss(strength, power, smoothing)
    loss.build(entries.known)

    def entry_loss(logit: float, positive: bool, row: int, label: int) -> float:
        count, known = int(entries.counts[label]), int(entries.known[label])
        target = 1 - smoothing / 2 if positive else smoothing / 2
        factor = ((known - count) / count) ** power if positive else 1.0
        return factor * cross_entropy(logit + strength * looped_log_odds(entries, label), target)

    assert loss(*entries.arguments).item() == pytest.approx(looped_mean(entries, entry_loss), rel=1e-5)
    torch.testing.assert_close(gradient(loss, entries).double(), slopes(entries, entry_loss), rtol=1e-3, atol=1e-6)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_sample_weights_equal_a_loop(seed: int) -> None:
    entries = draw_entries(seed)
    own = torch.rand(7, generator=torch.Generator().manual_seed(seed))
    expected = looped_mean(entries, lambda logit, positive, *_: cross_entropy(logit, float(positive)), own.tolist())
    found = BinaryCrossEntropyLoss()(*entries.arguments, sample_weights=own)
    assert found.item() == pytest.approx(expected, rel=1e-5)


def test_by_hand() -> None:
    logits, labels = torch.tensor([[math.log(3.0), 0.0], [0.0, -math.log(3.0)]]), torch.tensor([[1, -1], [0, 1]])
    # Probabilities 3/4 and 1/2 of the first label, with weight 1, and 1/4 of the second, with weight 2.
    found = BinaryCrossEntropyLoss()(logits, labels, torch.tensor([1.0, 2.0]), torch.tensor([1, 1]))
    assert found.item() == pytest.approx((math.log(4 / 3) + math.log(2) + 2 * math.log(4)) / 4, rel=1e-6)


def test_a_logit_of_zero_under_adjustment_gives_the_logarithm_of_the_prior() -> None:
    loss = BinaryCrossEntropyLoss(logit_adjustment=1.0)
    loss.build(torch.tensor([9]))
    for label, count in ((1, 2.5), (0, 7.5)):
        found = loss(torch.zeros(1, 1), torch.tensor([[label]]), torch.ones(1), torch.tensor([2]))
        assert found.item() == pytest.approx(math.log(10 / count), rel=1e-6)


def test_a_power_of_one_gives_both_sides_of_a_label_the_same_weight() -> None:
    loss = BinaryCrossEntropyLoss(positive_power=1.0)
    loss.build(torch.tensor([5]))
    logits = torch.zeros(5, 1, requires_grad=True)
    loss(logits, torch.tensor([[1], [0], [0], [0], [0]]), torch.ones(1), torch.tensor([1])).backward()
    assert logits.grad is not None
    # At a probability of 1/2 the gradients of the one sample with the label and the four without it cancel.
    torch.testing.assert_close(logits.grad.flatten(), torch.tensor([-0.4, 0.1, 0.1, 0.1, 0.1]))


def test_the_settings_are_checked() -> None:
    for value in (-0.5, math.inf, math.nan):
        with pytest.raises(ValueError, match="logit_adjustment: expected a finite number of 0 or more"):
            BinaryCrossEntropyLoss(logit_adjustment=value)
        with pytest.raises(ValueError, match="positive_power: expected a finite number of 0 or more"):
            BinaryCrossEntropyLoss(positive_power=value)
    for value in (-0.1, 1.0, math.nan):
        with pytest.raises(ValueError, match="label_smoothing: expected a number from 0 to below 1"):
            BinaryCrossEntropyLoss(label_smoothing=value)
