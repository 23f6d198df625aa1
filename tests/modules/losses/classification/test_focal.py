import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from modules.losses import CrossEntropyLoss
from modules.losses.classification.focal import FocalLoss
from tests.modules.losses.drawn import draw_batch, weighted_mean


@given(seed=st.integers(0, 10_000), gamma=st.floats(0, 4))
def test_equals_a_loop(seed: int, gamma: float) -> None:
    logits, labels, weights, counts = draw_batch(seed)
    probabilities = logits.double().softmax(dim=1)
    own = [float(probabilities[row, label]) for row, label in enumerate(labels.tolist())]
    expected = weighted_mean([-((1 - p) ** gamma) * math.log(p) for p in own], labels, weights)
    assert FocalLoss(gamma)(logits, labels, weights, counts).item() == pytest.approx(expected, rel=1e-5)


@given(seed=st.integers(0, 10_000))
def test_a_gamma_of_zero_is_cross_entropy(seed: int) -> None:
    batch = draw_batch(seed)
    torch.testing.assert_close(FocalLoss(0.0)(*batch), CrossEntropyLoss()(*batch))


def test_by_hand() -> None:
    logits = torch.tensor([[math.log(3.0), 0.0]])
    loss = FocalLoss(2.0)(logits, torch.tensor([0]), torch.ones(2), torch.ones(2))
    assert loss.item() == pytest.approx(0.25**2 * math.log(4 / 3), rel=1e-5)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0])
def test_a_sample_of_probability_one_has_a_finite_gradient(gamma: float) -> None:
    logits = torch.tensor([[100.0, 0.0]], requires_grad=True)
    FocalLoss(gamma)(logits, torch.tensor([0]), torch.ones(2), torch.ones(2)).backward()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


def test_the_setting_is_checked() -> None:
    with pytest.raises(ValueError, match="gamma: expected a finite number of 0 or more, got -1"):
        FocalLoss(-1)
