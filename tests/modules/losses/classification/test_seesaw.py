import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from modules.losses import CrossEntropyLoss
from modules.losses.classification.seesaw import SeesawLoss
from tests.modules.losses.drawn import draw_batch, weighted_mean


@given(seed=st.integers(0, 10_000), p=st.floats(0, 2), q=st.floats(0, 3))
def test_equals_a_loop(seed: int, p: float, q: float) -> None:
    logits, labels, weights, counts = draw_batch(seed)
    probabilities = logits.double().softmax(dim=1)
    losses = []
    for row, i in enumerate(labels.tolist()):
        total = 0.0
        for j in range(4):
            mitigation = min(1.0, int(counts[j]) / int(counts[i])) ** p
            compensation = max(1.0, float(probabilities[row, j] / probabilities[row, i])) ** q
            total += (1.0 if i == j else mitigation * compensation) * math.exp(float(logits[row, j]))
        losses.append(math.log(total) - float(logits[row, i]))
    found = SeesawLoss(p, q)(logits, labels, weights, counts).item()
    assert found == pytest.approx(weighted_mean(losses, labels, weights), rel=1e-4)


@given(seed=st.integers(0, 10_000))
def test_without_factors_it_is_cross_entropy(seed: int) -> None:
    batch = draw_batch(seed)
    torch.testing.assert_close(SeesawLoss(0.0, 0.0)(*batch), CrossEntropyLoss()(*batch))


def test_the_factors_have_no_gradient() -> None:
    logits, labels, weights, counts = draw_batch(3)
    first, second = logits.clone().requires_grad_(), logits.clone().requires_grad_()
    SeesawLoss(0.8, 2.0)(first, labels, weights, counts).backward()
    fixed = SeesawLoss(0.8, 2.0).adjust(logits, labels, counts) - logits
    torch.nn.functional.cross_entropy(second + fixed, labels, weight=weights).backward()  # type: ignore[no-untyped-call]
    assert first.grad is not None
    assert second.grad is not None
    torch.testing.assert_close(first.grad, second.grad)


def test_the_settings_are_checked() -> None:
    for settings in ({"p": -1.0}, {"q": -1.0}):
        with pytest.raises(ValueError, match="expected a finite number of 0 or more, got -1"):
            SeesawLoss(**settings)
