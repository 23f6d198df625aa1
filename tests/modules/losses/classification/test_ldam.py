import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from modules.losses import CrossEntropyLoss
from modules.losses.classification.ldam import LDAMLoss
from tests.modules.losses.drawn import draw_batch


@given(seed=st.integers(0, 10_000), max_margin=st.floats(0, 1), scale=st.floats(0.1, 30))
def test_equals_a_loop(seed: int, max_margin: float, scale: float) -> None:
    logits, labels, weights, counts = draw_batch(seed)
    lowered = logits.clone()
    for row, label in enumerate(labels.tolist()):
        lowered[row, label] -= scale * max_margin * (int(counts.min()) / int(counts[label])) ** 0.25
    expected = torch.nn.functional.cross_entropy(lowered, labels, weight=weights)
    torch.testing.assert_close(LDAMLoss(max_margin, scale)(logits, labels, weights, counts), expected)


@given(seed=st.integers(0, 10_000))
def test_without_margin_it_is_cross_entropy(seed: int) -> None:
    batch = draw_batch(seed)
    torch.testing.assert_close(LDAMLoss(0.0)(*batch), CrossEntropyLoss()(*batch))


def test_a_class_without_samples_does_not_set_the_margins() -> None:
    logits, labels, _, counts = draw_batch(0, classes=3)
    wider, more_counts = torch.cat([logits, torch.zeros(7, 1)], dim=1), torch.cat([counts, torch.zeros(1)])
    expected = LDAMLoss()(logits, labels, torch.ones(3), counts)
    torch.testing.assert_close(LDAMLoss()(wider, labels, torch.ones(4), more_counts), expected)


def test_the_settings_are_checked() -> None:
    with pytest.raises(ValueError, match="max_margin: expected a finite number of 0 or more"):
        LDAMLoss(-0.1)
    with pytest.raises(ValueError, match="scale: expected a finite number of 0 or more"):
        LDAMLoss(0.5, -1.0)
