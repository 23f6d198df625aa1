import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from modules.losses import CrossEntropyLoss
from modules.losses.classification.label_aware_smoothing import LabelAwareSmoothingLoss
from tests.modules.losses.drawn import draw_batch, weighted_mean


@given(seed=st.integers(0, 10_000), head=st.floats(0, 0.9), tail=st.floats(0, 0.9))
def test_equals_a_loop(seed: int, head: float, tail: float) -> None:
    logits, labels, weights, counts = draw_batch(seed)
    log_probabilities = logits.double().log_softmax(dim=1).tolist()
    smallest, largest = int(counts.min()), int(counts.max())
    losses = []
    for row, label in enumerate(labels.tolist()):
        rank = (int(counts[label]) - smallest) / (largest - smallest)
        smoothing = tail + (head - tail) * math.sin(math.pi / 2 * rank)
        targets = [1 - smoothing if c == label else smoothing / 3 for c in range(4)]
        losses.append(-sum(target * value for target, value in zip(targets, log_probabilities[row], strict=True)))
    found = LabelAwareSmoothingLoss(head, tail)(logits, labels, weights, counts).item()
    assert found == pytest.approx(weighted_mean(losses, labels, weights), rel=1e-4)


@given(seed=st.integers(0, 10_000))
def test_without_smoothing_it_is_cross_entropy(seed: int) -> None:
    batch = draw_batch(seed)
    torch.testing.assert_close(LabelAwareSmoothingLoss(0.0, 0.0)(*batch), CrossEntropyLoss()(*batch))


def test_equal_counts_have_the_smoothing_of_the_tail() -> None:
    logits, labels, _, _ = draw_batch(0)
    # Over three other classes, 0.3 is what PyTorch calls 0.4 over all four.
    expected = torch.nn.functional.cross_entropy(logits, labels, label_smoothing=0.4)
    found = LabelAwareSmoothingLoss(0.9, 0.3)(logits, labels, torch.ones(4), torch.full((4,), 5))
    torch.testing.assert_close(found, expected)


def test_the_settings_are_checked() -> None:
    with pytest.raises(ValueError, match=r"head: expected a number from 0 to below 1, got 1"):
        LabelAwareSmoothingLoss(1.0)
    with pytest.raises(ValueError, match=r"tail: expected a number from 0 to below 1, got -1"):
        LabelAwareSmoothingLoss(0.1, -1)
