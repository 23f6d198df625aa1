import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from modules.losses.contrastive.parametric_contrastive import ParametricContrastiveLoss


def build(alpha: float = 0.3, queue_size: int = 6) -> ParametricContrastiveLoss:
    torch.manual_seed(0)
    loss = ParametricContrastiveLoss(alpha, queue_size, 0.2, 0.2)
    loss.build(torch.tensor([9, 5, 4, 0]), 4)
    return loss


@given(seed=st.integers(0, 1_000), alpha=st.floats(0, 1), queue_size=st.integers(0, 12))
def test_equals_a_loop(seed: int, alpha: float, queue_size: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    loss = build(alpha, queue_size)
    earlier: list[tuple[torch.Tensor, int]] = []
    for _ in range(3):
        views, labels = torch.randn(3, 2, 4, generator=generator), torch.randint(3, (3,), generator=generator)
        unit = torch.nn.functional.normalize(views.double().flatten(0, 1), dim=1)
        classes = labels.repeat_interleave(2).tolist()
        centers = torch.nn.functional.normalize(loss.centers.detach().double(), dim=1)
        total = 0.0
        for anchor in range(6):
            columns = [(unit[k], classes[k], alpha) for k in range(6) if k != anchor]
            columns += [(row, label, alpha) for row, label in earlier]
            columns += [(centers[label], label, 1.0) for label in range(3)]
            logits = torch.stack([unit[anchor] @ row / 0.2 for row, _, _ in columns])
            own = [(k, weight) for k, (_, label, weight) in enumerate(columns) if label == classes[anchor]]
            mean = sum(weight * float(logits[k]) for k, weight in own) / sum(weight for _, weight in own)
            total += (float(logits.logsumexp(0)) - mean) / 6
        expected = torch.tensor(total, dtype=torch.float32)
        torch.testing.assert_close(loss(views, labels), expected, rtol=1e-5, atol=1e-5)
        earlier = ([(unit[k], classes[k]) for k in range(6)] + earlier)[:queue_size]


def test_without_samples_it_is_a_softmax_over_everything_for_the_center() -> None:
    loss = build(alpha=0.0, queue_size=0)
    views = torch.randn(1, 1, 4, generator=torch.Generator().manual_seed(1))
    cosines = torch.cosine_similarity(views[0], loss.centers[:3], dim=1)
    expected = torch.nn.functional.cross_entropy(cosines.unsqueeze(0) / 0.2, torch.tensor([1]))
    torch.testing.assert_close(loss(views, torch.tensor([1])), expected)


def test_queue_and_centers_are_saved_and_restored() -> None:
    loss, again = build(), build()
    views, labels = torch.randn(4, 2, 4), torch.tensor([0, 1, 2, 2])
    loss(views, labels).backward()
    assert loss.centers.grad is not None
    again.load_state_dict(loss.state_dict())
    torch.testing.assert_close(again(views, labels), loss(views, labels))
    assert set(loss.state_dict()) == {"centers", "queue", "queue_labels"}


def test_the_settings_are_checked() -> None:
    with pytest.raises(ValueError, match="alpha: expected a finite number of 0 or more"):
        ParametricContrastiveLoss(-1.0)
    with pytest.raises(ValueError, match="queue_size: expected 0 or more"):
        ParametricContrastiveLoss(0.1, -1)
