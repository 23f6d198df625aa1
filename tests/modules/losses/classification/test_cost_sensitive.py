import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from modules.losses import CrossEntropyLoss
from modules.losses.classification.cost_sensitive import CostSensitiveLoss
from tests.modules.losses.drawn import draw_batch, weighted_mean


@given(seed=st.integers(0, 10_000), power=st.floats(0, 2))
def test_equals_a_loop(seed: int, power: float) -> None:
    logits, labels, weights, counts = draw_batch(seed)
    losses = []
    for row, i in enumerate(labels.tolist()):
        costs = [max(1.0, int(counts[j]) / int(counts[i])) ** power for j in range(4)]
        total = sum(cost * math.exp(float(logits[row, j])) for j, cost in enumerate(costs))
        losses.append(math.log(total) - float(logits[row, i]))
    found = CostSensitiveLoss(power)(logits, labels, weights, counts).item()
    assert found == pytest.approx(weighted_mean(losses, labels, weights), rel=1e-4)


@given(seed=st.integers(0, 10_000))
def test_equal_counts_or_a_power_of_zero_leave_cross_entropy(seed: int) -> None:
    logits, labels, weights, counts = draw_batch(seed)
    expected = CrossEntropyLoss()(logits, labels, weights, counts)
    torch.testing.assert_close(CostSensitiveLoss(0.0)(logits, labels, weights, counts), expected)
    torch.testing.assert_close(CostSensitiveLoss(1.0)(logits, labels, weights, torch.full((4,), 3)), expected)


def test_the_setting_is_checked() -> None:
    with pytest.raises(ValueError, match="power: expected a finite number of 0 or more"):
        CostSensitiveLoss(-1)
