import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from modules.losses import CrossEntropyLoss
from modules.losses.classification.equalization import SoftmaxEqualizationLoss
from tests.modules.losses.drawn import draw_batch, weighted_mean


@given(seed=st.integers(0, 10_000))
def test_equals_a_loop_where_every_rare_class_is_left_out(seed: int) -> None:
    logits, labels, weights, _ = draw_batch(seed)
    counts = torch.tensor([900, 60, 30, 10])
    losses = []
    for row, label in enumerate(labels.tolist()):
        kept = [c for c in range(4) if c == label or counts[c] / 1000 >= 0.05]
        losses.append(float(logits[row].double()[kept].logsumexp(0) - logits[row, label]))
    found = SoftmaxEqualizationLoss(0.05, 1.0)(logits, labels, weights, counts).item()
    assert found == pytest.approx(weighted_mean(losses, labels, weights), rel=1e-5, abs=1e-6)


@given(seed=st.integers(0, 10_000))
def test_without_rare_classes_or_drops_it_is_cross_entropy(seed: int) -> None:
    batch = draw_batch(seed)
    torch.testing.assert_close(SoftmaxEqualizationLoss(0.0, 1.0)(*batch), CrossEntropyLoss()(*batch))
    torch.testing.assert_close(SoftmaxEqualizationLoss(1.0, 0.0)(*batch), CrossEntropyLoss()(*batch))


def test_rare_classes_are_excluded_with_the_given_probability() -> None:
    torch.manual_seed(0)
    labels, counts = torch.zeros(4_000, dtype=torch.int64), torch.tensor([95, 5])
    adjusted = SoftmaxEqualizationLoss(0.1, 0.3).adjust(torch.zeros(4_000, 2), labels, counts)
    assert (adjusted[:, 0] == 0).all()
    assert (adjusted[:, 1] < 0).float().mean().item() == pytest.approx(0.3, abs=0.03)


def test_the_settings_are_checked() -> None:
    with pytest.raises(ValueError, match="rare_fraction: expected a finite number of 0 or more"):
        SoftmaxEqualizationLoss(-1)
    with pytest.raises(ValueError, match=r"ignore_probability: expected a number from 0 to 1, got 2"):
        SoftmaxEqualizationLoss(0.1, 2)
