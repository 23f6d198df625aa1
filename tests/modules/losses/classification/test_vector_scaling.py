import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from modules.losses import CrossEntropyLoss
from modules.losses.classification.vector_scaling import VectorScalingLoss
from tests.modules.losses.drawn import draw_batch


@given(seed=st.integers(0, 10_000), gamma=st.floats(0, 1), tau=st.floats(0, 2))
def test_equals_a_loop(seed: int, gamma: float, tau: float) -> None:
    logits, labels, weights, counts = draw_batch(seed)
    changed = torch.zeros_like(logits)
    for c, count in enumerate(counts.tolist()):
        changed[:, c] = logits[:, c] * (count / int(counts.max())) ** gamma + tau * math.log(count / int(counts.sum()))
    expected = torch.nn.functional.cross_entropy(changed, labels, weight=weights)
    torch.testing.assert_close(VectorScalingLoss(gamma, tau)(logits, labels, weights, counts), expected)


@given(seed=st.integers(0, 10_000), tau=st.floats(0, 2))
def test_a_gamma_of_zero_is_logit_adjustment(seed: int, tau: float) -> None:
    batch = draw_batch(seed)
    torch.testing.assert_close(VectorScalingLoss(0.0, tau)(*batch), CrossEntropyLoss(tau)(*batch))


@given(seed=st.integers(0, 10_000), gamma=st.floats(0, 1))
def test_equal_counts_leave_cross_entropy(seed: int, gamma: float) -> None:
    logits, labels, weights, _ = draw_batch(seed)
    batch = logits, labels, weights, torch.full((4,), 9)
    torch.testing.assert_close(VectorScalingLoss(gamma, 1.0)(*batch), CrossEntropyLoss()(*batch))


def test_the_settings_are_checked() -> None:
    with pytest.raises(ValueError, match="gamma: expected a finite number of 0 or more"):
        VectorScalingLoss(-0.1)
    with pytest.raises(ValueError, match="logit_adjustment: expected a finite number of 0 or more"):
        VectorScalingLoss(0.1, -1.0)
