"""What all losses of several labels have in common."""

from __future__ import annotations

import math
from collections.abc import Callable

import jsonargparse
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from modules.losses import (
    AsymmetricLoss,
    BinaryCrossEntropyLoss,
    ClassificationLoss,
    DistributionBalancedLoss,
    MultilabelLoss,
)
from tests.modules.losses.multilabel.drawn_entries import Entries, draw_entries, gradient

LOSSES: dict[str, Callable[[], MultilabelLoss]] = {
    "plain": BinaryCrossEntropyLoss,
    "adjusted": lambda: BinaryCrossEntropyLoss(1.0, 0.5, 0.1),
    "asymmetric": AsymmetricLoss,
    "asymmetric, fractional": lambda: AsymmetricLoss(0.5, 0.5, 0.0, 1.0),
    "asymmetric, both": lambda: AsymmetricLoss(1.0, 2.0, 0.2, 0.5),
    "balanced": DistributionBalancedLoss,
    "balanced, even": lambda: DistributionBalancedLoss(0.0, 0.0, 0.0, 1.0, 5.0),
}
each_loss = pytest.mark.parametrize("name", sorted(LOSSES))


def make_loss(name: str, entries: Entries) -> MultilabelLoss:
    """A loss that knows the numbers of known values."""
    loss = LOSSES[name]()
    loss.build(entries.known)
    return loss


@each_loss
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), filler=st.sampled_from([-1e4, 0.0, 1e4, math.inf, math.nan]))
def test_unknown_entries_change_neither_value_nor_gradient(name: str, seed: int, filler: float) -> None:
    entries = draw_entries(seed)
    loss, unknown = make_loss(name, entries), entries.labels == -1
    other = entries._replace(logits=entries.logits.masked_fill(unknown, filler))
    assert torch.equal(loss(*other.arguments), loss(*entries.arguments))
    found = gradient(loss, other)
    assert torch.equal(found, gradient(loss, entries))
    assert torch.equal(found[unknown], torch.zeros(int(unknown.sum())))


@each_loss
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_a_label_that_no_training_sample_has_is_left_out(name: str, seed: int) -> None:
    entries = draw_entries(seed)
    entries.counts[2] = 0
    entries.logits[0, 2] = math.nan
    kept = torch.tensor([0, 1, 3])
    logits, labels, weights, counts, known = entries
    without = Entries(logits[:, kept], labels[:, kept], weights[kept], counts[kept], known[kept])
    expected = make_loss(name, without)(*without.arguments)
    torch.testing.assert_close(make_loss(name, entries)(*entries.arguments), expected)
    found = gradient(make_loss(name, entries), entries)
    assert torch.equal(found[:, 2], torch.zeros(len(found)))
    torch.testing.assert_close(found[:, kept], gradient(make_loss(name, without), without))


@each_loss
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_sample_weights_repeat_samples(name: str, seed: int) -> None:
    entries = draw_entries(seed)
    loss, times = make_loss(name, entries), torch.tensor([0, 1, 2, 0, 3, 1, 1])
    repeated = entries.logits.repeat_interleave(times, 0), entries.labels.repeat_interleave(times, 0)
    expected = loss(*repeated, entries.weights, entries.counts)
    torch.testing.assert_close(loss(*entries.arguments, sample_weights=times), expected)


@each_loss
def test_the_order_of_labels_and_samples_does_not_matter(name: str) -> None:
    entries = draw_entries(1)
    rows, order = torch.tensor([3, 0, 6, 1, 5, 2, 4]), torch.tensor([2, 0, 3, 1])
    logits, labels, weights, counts, known = entries
    moved = Entries(logits[rows][:, order], labels[rows][:, order], weights[order], counts[order], known[order])
    expected = make_loss(name, entries)(*entries.arguments)
    torch.testing.assert_close(make_loss(name, moved)(*moved.arguments), expected)


@each_loss
def test_extreme_logits_have_finite_values_and_gradients(name: str) -> None:
    entries = draw_entries(0)
    loss = make_loss(name, entries)
    signs = entries.logits.sign()
    for scale in (0.0, 1e-30, 20.0, 90.0, 1e4):
        for labels in (entries.labels, torch.zeros_like(entries.labels), torch.ones_like(entries.labels)):
            hard = entries._replace(logits=scale * signs, labels=labels)
            assert loss(*hard.arguments).isfinite()
            assert gradient(loss, hard).isfinite().all()


@each_loss
def test_a_larger_logit_of_the_right_outcome_lowers_the_loss(name: str) -> None:
    entries = draw_entries(0)
    loss, right = make_loss(name, entries), 2.0 * entries.labels - 1
    values = [float(loss(scale * right, *entries.arguments[1:])) for scale in (-4.0, -1.0, 0.0, 1.0)]
    assert values == sorted(values, reverse=True)


@each_loss
def test_low_precision_and_autocast_are_computed_in_fp32(name: str) -> None:
    entries = draw_entries(0)
    loss, rest = make_loss(name, entries), entries.arguments[1:]
    low = entries.logits.bfloat16()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = loss(low, *rest)
        probabilities = loss.probabilities(low, entries.counts)
    assert value.dtype == probabilities.dtype == torch.float32
    assert torch.equal(value, loss(low.float(), *rest))
    assert torch.equal(probabilities, low.float().sigmoid())


@each_loss
@pytest.mark.parametrize("case", ["nothing known", "no weight", "no sample weight", "no counts", "no samples"])
def test_without_weight_the_loss_is_a_zero_connected_to_the_graph(name: str, case: str) -> None:
    entries = draw_entries(0)
    if case == "nothing known":
        entries.labels.fill_(-1)
    elif case == "no weight":
        entries.weights.zero_()
    elif case == "no counts":
        entries.counts.zero_()
    elif case == "no samples":
        entries = entries._replace(logits=entries.logits[:0], labels=entries.labels[:0])
    weights = torch.zeros(7) if case == "no sample weight" else None
    logits = entries.logits.clone().requires_grad_()
    value = make_loss(name, entries)(logits, *entries.arguments[1:], sample_weights=weights)
    value.backward()
    assert value == 0
    assert logits.grad is not None
    assert torch.equal(logits.grad, torch.zeros_like(logits))


@each_loss
def test_labels_that_all_training_samples_have_are_finite(name: str) -> None:
    entries = draw_entries(0)
    entries = entries._replace(known=entries.counts.clone())
    assert make_loss(name, entries)(*entries.arguments).isfinite()
    assert gradient(make_loss(name, entries), entries).isfinite().all()


def test_log_odds_by_hand() -> None:
    loss = BinaryCrossEntropyLoss(logit_adjustment=0.7)
    loss.build(torch.tensor([10, 4, 6, 0]))
    expected = [math.log(2.5 / 8.5), math.log(4.5 / 0.5), math.log(0.5 / 6.5), 0.0]
    torch.testing.assert_close(loss.log_odds(torch.tensor([2, 4, 0, 0])), torch.tensor(expected))
    assert loss.removed_prior == 0.7
    assert BinaryCrossEntropyLoss().removed_prior == 0
    assert AsymmetricLoss(logit_adjustment=0.3).removed_prior == 0.3
    assert DistributionBalancedLoss(kappa=0.2).removed_prior == 0.2


def test_the_number_of_known_values_is_not_saved_but_moves_with_the_loss() -> None:
    loss = BinaryCrossEntropyLoss()
    assert loss.known is None
    loss.build(torch.tensor([3, 5], dtype=torch.int32))
    assert loss.known is not None
    assert loss.known.dtype == torch.int64
    assert loss.state_dict() == {}
    assert dict(loss.named_buffers()).keys() == {"known"}


@pytest.mark.parametrize(
    "loss",
    [
        BinaryCrossEntropyLoss(logit_adjustment=1.0),
        BinaryCrossEntropyLoss(positive_power=1.0),
        AsymmetricLoss(logit_adjustment=1.0),
        DistributionBalancedLoss(),
    ],
)
def test_losses_that_need_the_number_of_known_values_say_so(loss: MultilabelLoss) -> None:
    entries = draw_entries(0)
    with pytest.raises(ValueError, match=r"^known: expected the number of known values .* from build, got None\.$"):
        loss(*entries.arguments)
    loss.build(entries.known[:2])
    with pytest.raises(ValueError, match=r"^known: expected shape \(L,\) = \(4,\), got \(2,\)\.$"):
        loss(*entries.arguments)


@pytest.mark.parametrize("loss", [BinaryCrossEntropyLoss(), AsymmetricLoss(), DistributionBalancedLoss(kappa=0.0)])
def test_other_losses_do_not_need_it(loss: MultilabelLoss) -> None:
    assert loss(*draw_entries(0).arguments) > 0


@pytest.mark.parametrize("known", [torch.ones(2), torch.ones(2, 2, dtype=torch.int64)])
def test_the_number_of_known_values_is_checked(known: Tensor) -> None:
    with pytest.raises(ValueError, match=r"^known: expected integers of shape \(L,\), got torch\..*\.$"):
        BinaryCrossEntropyLoss().build(known)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"logits": torch.zeros(3)}, r"^logits: expected a floating-point tensor of shape \(B, L\), got .* \(3,\)\.$"),
        ({"logits": torch.zeros(3, 2, dtype=torch.int64)}, r"^logits: .* got torch.int64 \(3, 2\)\.$"),
        ({"labels": torch.zeros(3)}, r"^labels: expected shape \(B, L\) = \(3, 2\), got \(3,\)\.$"),
        ({"labels": torch.zeros(2, 3)}, r"^labels: expected shape \(B, L\) = \(3, 2\), got \(2, 3\)\.$"),
        ({"class_weights": torch.ones(3)}, r"^class_weights: expected shape \(L,\) = \(2,\), got \(3,\)\.$"),
        ({"class_counts": torch.ones(1)}, r"^class_counts: expected shape \(L,\) = \(2,\), got \(1,\)\.$"),
        ({"sample_weights": torch.ones(3, 1)}, r"^sample_weights: expected shape \(B,\) = \(3,\), got \(3, 1\)\.$"),
    ],
)
def test_wrong_shapes_are_named(changed: dict[str, Tensor], message: str) -> None:
    right = {
        "logits": torch.zeros(3, 2),
        "labels": torch.zeros(3, 2, dtype=torch.int64),
        "class_weights": torch.ones(2),
        "class_counts": torch.ones(2),
    }
    with pytest.raises(ValueError, match=message):
        BinaryCrossEntropyLoss()(**{**right, **changed})


@pytest.mark.parametrize("name", ["BinaryCrossEntropyLoss", "AsymmetricLoss", "DistributionBalancedLoss"])
def test_the_losses_are_named_in_settings_by_their_package(name: str) -> None:
    parser = jsonargparse.ArgumentParser()
    parser.add_subclass_arguments(ClassificationLoss, "loss")
    built = parser.instantiate(parser.parse_object({"loss": {"class_path": f"modules.losses.{name}"}}))
    assert isinstance(built.loss, MultilabelLoss)


def test_probabilities_of_another_scale_are_refused() -> None:
    class Halved(BinaryCrossEntropyLoss):
        def probabilities(self, logits: torch.Tensor, class_counts: torch.Tensor) -> torch.Tensor:  # type: ignore[misc]
            return (logits / 2).sigmoid()

    with pytest.raises(ValueError, match=r"^probabilities: expected a loss .* got Halved, which overrides them\.$"):
        Halved()
