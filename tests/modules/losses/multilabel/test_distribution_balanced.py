import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from modules.losses import BinaryCrossEntropyLoss, DistributionBalancedLoss
from tests.modules.losses.multilabel.drawn_entries import (
    Entries,
    EntryLoss,
    draw_entries,
    gradient,
    looped_log_odds,
    looped_mean,
    slopes,
)


def looped(entries: Entries, alpha: float, beta: float, mu: float, kappa: float, negative_scale: float) -> EntryLoss:
    def entry_loss(logit: float, positive: bool, row: int, label: int) -> float:
        own = [place for place, value in enumerate(entries.labels[row].tolist()) if value == 1]
        total = sum(1 / int(entries.counts[place]) for place in own)
        # The limit for a sample without labels.
        weight = 1.0 if beta > 0 else 0.5
        if own:
            weight = 1 / (1 + math.exp(-beta * (1 / int(entries.counts[label]) / total - mu)))
        value = logit + kappa * looped_log_odds(entries, label)
        if positive:
            return (alpha + weight) * math.log(1 + math.exp(-value))
        return (alpha + weight) * math.log(1 + math.exp(negative_scale * value)) / negative_scale

    return entry_loss


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    alpha=st.sampled_from([0.0, 0.1]),
    beta=st.sampled_from([0.0, 1.0, 10.0]),
    mu=st.sampled_from([0.0, 0.2, 0.5]),
    kappa=st.sampled_from([0.0, 0.05, 1.0]),
    negative_scale=st.sampled_from([1.0, 2.0, 5.0]),
)
def test_equals_a_loop(seed: int, alpha: float, beta: float, mu: float, kappa: float, negative_scale: float) -> None:
    entries = draw_entries(seed)
    loss = DistributionBalancedLoss(alpha, beta, mu, kappa, negative_scale)
    loss.build(entries.known)
    entry_loss = looped(entries, alpha, beta, mu, kappa, negative_scale)
    assert loss(*entries.arguments).item() == pytest.approx(looped_mean(entries, entry_loss), rel=1e-5)
    torch.testing.assert_close(gradient(loss, entries).double(), slopes(entries, entry_loss), rtol=1e-3, atol=1e-6)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_without_weights_bias_and_tolerance_it_is_binary_cross_entropy(seed: int) -> None:
    entries = draw_entries(seed)
    loss = DistributionBalancedLoss(alpha=0.5, beta=0.0, kappa=0.0, negative_scale=1.0)
    torch.testing.assert_close(loss(*entries.arguments), BinaryCrossEntropyLoss()(*entries.arguments))


def entry_loss_of(labels: list[int], place: int, logit: float = 0.0) -> float:
    """Loss of one entry of a sample, with the other logits 0 and label counts 1, 3 and 0."""
    logits = torch.zeros(1, 3)
    logits[0, place] = logit
    counts = torch.tensor([1, 3, 0])
    loss = DistributionBalancedLoss(alpha=0.1, beta=4.0, mu=0.25, kappa=0.0, negative_scale=2.0)
    return float(loss.entry_losses(logits, torch.tensor([labels]) == 1, counts)[0, place])


def sigmoid(value: float) -> float:
    return 1 / (1 + math.exp(-value))


def test_by_hand() -> None:
    # 1/n is 1 and 1/3: the shares of a sample with both labels are 3/4 and 1/4.
    assert entry_loss_of([1, 1, 0], 0) == pytest.approx((0.1 + sigmoid(2.0)) * math.log(2), rel=1e-6)
    assert entry_loss_of([1, 1, 0], 1) == pytest.approx(0.6 * math.log(2), rel=1e-6)
    # With the frequent label alone, the share is 1, and 3 for the rare label that the sample has not.
    assert entry_loss_of([0, 1, 0], 1) == pytest.approx((0.1 + sigmoid(3.0)) * math.log(2), rel=1e-6)
    assert entry_loss_of([0, 1, 0], 0) == pytest.approx((0.1 + sigmoid(11.0)) * math.log(2) / 2, rel=1e-6)
    # log(1 + exp(2 log 3)) / 2 without the label.
    value = entry_loss_of([0, 1, 0], 0, math.log(3.0))
    assert value == pytest.approx((0.1 + sigmoid(11.0)) * math.log(10) / 2, rel=1e-6)


@pytest.mark.parametrize("labels", [[0, 0, 0], [-1, 0, 0], [0, 0, 1]])
def test_a_sample_without_labels_of_training_samples_has_the_limit_of_the_weight(labels: list[int]) -> None:
    assert entry_loss_of(labels, 1) == pytest.approx(1.1 * math.log(2) / 2, rel=1e-6)


def test_the_bias_is_the_scaled_log_odds() -> None:
    loss = DistributionBalancedLoss(alpha=0.5, beta=0.0, kappa=0.5, negative_scale=1.0)
    loss.build(torch.tensor([9]))
    # Odds of 2.5 to 7.5, whose square root is taken.
    odds = (1 / 3) ** 0.5
    for label, share in ((1, odds / (1 + odds)), (0, 1 / (1 + odds))):
        found = loss(torch.zeros(1, 1), torch.tensor([[label]]), torch.ones(1), torch.tensor([2]))
        assert found.item() == pytest.approx(-math.log(share), rel=1e-6)


def test_a_label_that_is_not_known_does_not_change_the_weights() -> None:
    def loss(labels: Tensor) -> float:
        return float(DistributionBalancedLoss(kappa=0.0)(torch.zeros(1, 2), labels, torch.ones(2), torch.ones(2)))

    assert loss(torch.tensor([[1, -1]])) == pytest.approx((0.1 + sigmoid(8.0)) * math.log(2), rel=1e-6)
    assert loss(torch.tensor([[1, 1]])) == pytest.approx((0.1 + sigmoid(3.0)) * math.log(2), rel=1e-6)


def test_the_settings_are_checked() -> None:
    for value in (-1.0, math.inf, math.nan):
        for name in ("alpha", "beta", "mu", "kappa"):
            with pytest.raises(ValueError, match=f"{name}: expected a finite number of 0 or more, got {value}"):
                DistributionBalancedLoss(**{name: value})
    with pytest.raises(ValueError, match=r"negative_scale: expected a finite number of 1 or more, got 0\.5"):
        DistributionBalancedLoss(negative_scale=0.5)
