import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from modules.losses import AsymmetricLoss, BinaryCrossEntropyLoss
from tests.modules.losses.multilabel.drawn_entries import (
    Entries,
    EntryLoss,
    draw_entries,
    gradient,
    looped_log_odds,
    looped_mean,
    slopes,
)


def looped(entries: Entries, gammas: tuple[float, float], margin: float, strength: float) -> EntryLoss:
    def entry_loss(logit: float, positive: bool, row: int, label: int) -> float:
        probability = 1 / (1 + math.exp(-logit - strength * looped_log_odds(entries, label)))
        if positive:
            return -math.pow(1 - probability, gammas[0]) * math.log(probability)
        shifted = max(probability - margin, 0.0)
        return -math.pow(shifted, gammas[1]) * math.log(1 - shifted)

    return entry_loss


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    gammas=st.tuples(st.sampled_from([0.0, 0.5, 1.0, 3.0]), st.sampled_from([0.0, 0.5, 2.0, 4.0])),
    margin=st.sampled_from([0.0, 0.05, 0.3]),
    strength=st.sampled_from([0.0, 0.5]),
)
def test_equals_a_loop(seed: int, gammas: tuple[float, float], margin: float, strength: float) -> None:
    entries = draw_entries(seed)
    loss = AsymmetricLoss(*gammas, margin, strength)
    loss.build(entries.known)
    entry_loss = looped(entries, gammas, margin, strength)
    expected = looped_mean(entries, entry_loss)
    assert loss(*entries.arguments).item() == pytest.approx(expected, rel=1e-4, abs=1e-9)
    torch.testing.assert_close(gradient(loss, entries).double(), slopes(entries, entry_loss), rtol=1e-3, atol=1e-5)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), scale=st.sampled_from([1.0, 30.0, 1e4]), strength=st.sampled_from([0.0, 1.0]))
def test_without_exponents_and_margin_it_is_binary_cross_entropy(seed: int, scale: float, strength: float) -> None:
    entries = draw_entries(seed)
    entries = entries._replace(logits=scale * entries.logits)
    loss, plain = AsymmetricLoss(0.0, 0.0, 0.0, strength), BinaryCrossEntropyLoss(strength)
    for each in (loss, plain):
        each.build(entries.known)
    torch.testing.assert_close(loss(*entries.arguments), plain(*entries.arguments))
    torch.testing.assert_close(gradient(loss, entries), gradient(plain, entries))


@pytest.mark.parametrize(
    ("label", "logit", "expected"),
    [
        (1, math.log(3.0), 0.25**2 * math.log(4 / 3)),
        (0, math.log(3.0), 0.65**3 * math.log(1 / 0.35)),
        (0, -math.log(3.0), 0.15**3 * math.log(1 / 0.85)),
        (0, -math.log(9.1), 0.0),
    ],
)
def test_by_hand(label: int, logit: float, expected: float) -> None:
    loss = AsymmetricLoss(gamma_positive=2.0, gamma_negative=3.0, margin=0.1)
    found = loss(torch.tensor([[logit]]), torch.tensor([[label]]), torch.ones(1), torch.ones(1))
    assert found.item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 4.0])
def test_the_gradient_is_that_of_the_paper(gamma: float) -> None:
    margin, logits = 0.05, torch.linspace(-2, 4, 25).reshape(-1, 1).requires_grad_()
    loss = AsymmetricLoss(gamma_negative=gamma, margin=margin)
    loss(logits, torch.zeros(25, 1), torch.ones(1), torch.ones(1)).backward()
    p = logits.detach().double().sigmoid()
    shifted = p - margin
    # The derivative of the loss without the label, for probabilities above the margin.
    slope = shifted**gamma * (1 / (1 - shifted) - gamma / shifted * (1 - shifted).log()) * p * (1 - p)
    assert logits.grad is not None
    torch.testing.assert_close(logits.grad.double(), slope / 25, rtol=1e-4, atol=1e-7)


def test_probabilities_below_the_margin_have_no_gradient_without_the_label() -> None:
    logits = torch.tensor([[-3.0], [-30.0], [-1e4]], requires_grad=True)
    AsymmetricLoss(gamma_negative=0.5)(logits, torch.zeros(3, 1), torch.ones(1), torch.ones(1)).backward()
    assert logits.grad is not None
    assert torch.equal(logits.grad, torch.zeros(3, 1))


def test_a_wrong_certainty_without_the_label_costs_at_most_the_logarithm_of_the_margin() -> None:
    found = AsymmetricLoss(margin=0.05)(torch.tensor([[1e4]]), torch.zeros(1, 1), torch.ones(1), torch.ones(1))
    assert found.item() == pytest.approx(0.95**4 * math.log(20), rel=1e-5)


def test_the_settings_are_checked() -> None:
    for value in (-1.0, math.inf, math.nan):
        for name in ("gamma_positive", "gamma_negative", "logit_adjustment"):
            with pytest.raises(ValueError, match=f"{name}: expected a finite number of 0 or more, got {value}"):
                AsymmetricLoss(**{name: value})
    for value in (-0.1, 1.0, math.nan):
        with pytest.raises(ValueError, match="margin: expected a number from 0 to below 1"):
            AsymmetricLoss(margin=value)
