import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from modules.losses import SupervisedContrastiveLoss
from modules.losses.contrastive.instance_balanced_contrastive import InstanceBalancedContrastiveLoss


@given(seed=st.integers(0, 1_000), alpha=st.floats(0.01, 10))
def test_equals_a_loop(seed: int, alpha: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    views, labels = torch.randn(6, 2, 4, generator=generator), torch.randint(3, (6,), generator=generator)
    unit = torch.nn.functional.normalize(views.double().flatten(0, 1), dim=1)
    classes = labels.repeat_interleave(2)
    logits = unit @ unit.T / 0.2
    total, shares = 0.0, []
    for anchor in range(12):
        others = [k for k in range(12) if k != anchor]
        positives = [p for p in others if classes[p] == classes[anchor]]
        share = alpha * len(positives) / (1 + alpha * len(positives))
        log_sum = float(logits[anchor, others].logsumexp(0))
        total += share * sum(log_sum - float(logits[anchor, p]) for p in positives) / len(positives) / 12
        shares.append(1 - share)
    loss = InstanceBalancedContrastiveLoss(alpha, 0.2, 0.1)
    torch.testing.assert_close(loss(views, labels), torch.tensor(2 * total, dtype=torch.float32), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(loss.classification_shares(labels, 2), torch.tensor(shares[::2]))


def test_alpha_of_zero_is_classification_and_a_large_alpha_is_supervised_contrast() -> None:
    views, labels = torch.randn(6, 2, 4), torch.tensor([0, 0, 0, 1, 1, 2])
    none = InstanceBalancedContrastiveLoss(0.0)
    assert float(none(views, labels)) == 0
    assert torch.equal(none.classification_shares(labels, 2), torch.ones(6))
    most = InstanceBalancedContrastiveLoss(1e9)
    torch.testing.assert_close(most(views, labels), SupervisedContrastiveLoss(0.1, 0.1)(views, labels))
    assert float(most.classification_shares(labels, 2).max()) < 1e-8


def test_settings_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match="alpha: expected a finite number of 0 or more"):
        InstanceBalancedContrastiveLoss(-1)
