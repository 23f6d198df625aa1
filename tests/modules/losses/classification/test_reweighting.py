import numpy
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.utils.class_weight import compute_class_weight
from torch import Tensor

from modules.losses import CrossEntropyLoss
from modules.losses.classification.class_weighting import EffectiveNumber, InverseFrequency
from modules.losses.classification.focal import FocalLoss
from modules.losses.classification.reweighting import Reweighted, WeightsAsOffsets
from tests.modules.losses.drawn import draw_batch


@given(seed=st.integers(0, 10_000), power=st.floats(0, 2))
def test_inverse_frequency_equals_a_loop(seed: int, power: float) -> None:
    logits, labels, weights, counts = draw_batch(seed)
    own = torch.tensor([count**-power for count in counts.tolist()])
    expected = torch.nn.functional.cross_entropy(logits, labels, weight=weights * own)
    found = Reweighted(CrossEntropyLoss(), InverseFrequency(power))(logits, labels, weights, counts)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


def test_inverse_frequency_is_what_scikit_learn_calls_balanced() -> None:
    labels = [0] * 6 + [1] * 3 + [2]
    expected = torch.tensor(compute_class_weight("balanced", classes=numpy.arange(3), y=labels)).float()
    found = InverseFrequency().weights(torch.tensor([6.0, 3.0, 1.0]))
    torch.testing.assert_close(found / found.sum(), expected / expected.sum())


@given(seed=st.integers(0, 10_000), beta=st.floats(0, 0.9999))
def test_the_effective_number_equals_a_loop(seed: int, beta: float) -> None:
    logits, labels, weights, counts = draw_batch(seed)
    own = torch.tensor([(1 - beta) / (1 - beta**count) for count in counts.tolist()])
    expected = torch.nn.functional.cross_entropy(logits, labels, weight=weights * own)
    found = Reweighted(CrossEntropyLoss(), EffectiveNumber(beta))(logits, labels, weights, counts)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


def test_the_effective_number_lies_between_equal_weights_and_inverse_frequency() -> None:
    counts = torch.tensor([1.0, 10.0, 1_000.0])
    assert EffectiveNumber(0.0).weights(counts).tolist() == [1, 1, 1]
    inverse = EffectiveNumber(1 - 1e-9).weights(counts)
    torch.testing.assert_close(inverse / inverse[0], 1 / counts, rtol=1e-4, atol=0.0)


@pytest.mark.parametrize("weighting", [InverseFrequency(), EffectiveNumber(0.99)])
def test_equal_counts_and_earlier_epochs_do_not_change_the_loss(weighting: InverseFrequency | EffectiveNumber) -> None:
    logits, labels, weights, counts = draw_batch(2)
    expected = FocalLoss()(logits, labels, weights, counts)
    equal = torch.full((4,), 6)
    torch.testing.assert_close(Reweighted(FocalLoss(), weighting)(logits, labels, weights, equal), expected)
    deferred = Reweighted(FocalLoss(), weighting, start_epoch=3)
    deferred.set_epoch(2)
    assert torch.equal(deferred(logits, labels, weights, counts), expected)
    deferred.set_epoch(3)
    assert deferred.loss.epoch == 3
    assert not torch.equal(deferred(logits, labels, weights, counts), expected)


def test_a_class_without_samples_has_no_weight() -> None:
    logits, _, weights, _ = draw_batch(0, samples=3)
    counts = torch.tensor([5, 0, 9, 2])
    loss = Reweighted(CrossEntropyLoss(), InverseFrequency())
    expected = loss(logits[:2], torch.tensor([0, 2]), weights, counts)
    torch.testing.assert_close(loss(logits, torch.tensor([0, 2, 1]), weights, counts), expected)


@given(seed=st.integers(0, 10_000), strength=st.floats(0, 2))
def test_weights_as_offsets_equal_a_loop(seed: int, strength: float) -> None:
    logits, labels, weights, counts = draw_batch(seed)
    shifted = torch.stack(
        [logits[:, c] - strength * float((weights[c] / weights.mean()).log()) for c in range(4)], dim=1
    )
    expected = torch.nn.functional.cross_entropy(shifted, labels)
    found = WeightsAsOffsets(CrossEntropyLoss(), strength)(logits, labels, weights, counts)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_equal_weights_give_no_offsets_and_a_weight_of_zero_is_kept() -> None:
    logits, labels, _, counts = draw_batch(5)
    loss = WeightsAsOffsets(CrossEntropyLoss())
    plain = CrossEntropyLoss()(logits, labels, torch.ones(4), counts)
    torch.testing.assert_close(loss(logits, labels, torch.full((4,), 0.25), counts), plain)
    weights = torch.tensor([0.5, 0.5, 0.0, 0.0])
    expected = CrossEntropyLoss()(logits, labels, torch.tensor([1.0, 1.0, 0.0, 0.0]), counts)
    torch.testing.assert_close(loss(logits, labels, weights, counts), expected)


def heavier_is_wider(weights: Tensor) -> Tensor:
    """The gradient of the first class's logit, for one sample of it at equal logits."""
    logits = torch.zeros(1, 2, requires_grad=True)
    WeightsAsOffsets(CrossEntropyLoss())(logits, torch.tensor([0]), weights, torch.ones(2)).backward()
    assert logits.grad is not None
    return -logits.grad[0, 0]


def test_a_class_of_larger_weight_has_a_larger_gradient() -> None:
    assert heavier_is_wider(torch.tensor([0.8, 0.2])) > heavier_is_wider(torch.tensor([0.2, 0.8]))


def test_a_wrapped_loss_removes_the_prior_of_its_loss() -> None:
    assert Reweighted(CrossEntropyLoss(1.0), InverseFrequency()).removed_prior == 1.0
    assert WeightsAsOffsets(CrossEntropyLoss(0.5)).removed_prior == 0.5


def test_the_settings_are_checked() -> None:
    with pytest.raises(ValueError, match="power: expected a finite number of 0 or more"):
        InverseFrequency(-1)
    with pytest.raises(ValueError, match=r"beta: expected a number from 0 to below 1, got 1"):
        EffectiveNumber(1.0)
    with pytest.raises(ValueError, match="start_epoch: expected 0 or more"):
        Reweighted(CrossEntropyLoss(), InverseFrequency(), -1)
    with pytest.raises(ValueError, match="strength: expected a finite number of 0 or more"):
        WeightsAsOffsets(CrossEntropyLoss(), -1)
