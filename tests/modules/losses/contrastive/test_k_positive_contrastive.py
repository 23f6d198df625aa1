import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from modules.losses import SupervisedContrastiveLoss
from modules.losses.contrastive.k_positive_contrastive import KPositiveContrastiveLoss


def draw(seed: int, samples: int = 6, views: int = 2) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(samples, views, 4, generator=generator), torch.randint(3, (samples,), generator=generator)


@given(seed=st.integers(0, 1_000), views=st.integers(1, 3))
def test_with_all_positives_it_is_supervised_contrast(seed: int, views: int) -> None:
    batch = draw(seed, views=views)
    torch.testing.assert_close(KPositiveContrastiveLoss(100)(*batch), SupervisedContrastiveLoss()(*batch))


@given(seed=st.integers(0, 1_000))
def test_without_positives_only_views_of_a_sample_attract(seed: int) -> None:
    views, labels = draw(seed)
    expected = SupervisedContrastiveLoss()(views, torch.arange(6))
    torch.testing.assert_close(KPositiveContrastiveLoss(0)(views, labels), expected)


def test_the_mean_over_draws_of_one_positive_equals_a_loop() -> None:
    views, labels = draw(3, samples=5, views=1)
    labels = torch.tensor([0, 0, 0, 1, 1])
    unit = torch.nn.functional.normalize(views[:, 0].double(), dim=1)
    logits = unit @ unit.T / 0.1
    total = 0.0
    for anchor in range(5):
        others = [k for k in range(5) if k != anchor]
        log_sum = float(logits[anchor, others].logsumexp(0))
        friends = [p for p in others if labels[p] == labels[anchor]]
        total += sum(log_sum - float(logits[anchor, p]) for p in friends) / len(friends) / 5
    torch.manual_seed(0)
    loss = KPositiveContrastiveLoss(1, 0.1, 0.1)
    mean = sum(float(loss(views, labels)) for _ in range(2_000)) / 2_000
    assert mean == pytest.approx(total, rel=0.02)


def test_the_setting_is_checked() -> None:
    with pytest.raises(ValueError, match="positives: expected 0 or more"):
        KPositiveContrastiveLoss(-1)
