import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from modules.losses import CrossEntropyLoss
from modules.losses.classification.influence_balanced import InfluenceBalancedLoss
from tests.modules.losses.drawn import draw_batch, weighted_mean


@given(seed=st.integers(0, 10_000), alpha=st.floats(0.1, 100), epsilon=st.floats(0.001, 1))
def test_equals_a_loop(seed: int, alpha: float, epsilon: float) -> None:
    logits, labels, weights, counts = draw_batch(seed)
    embeddings = torch.randn(7, 5, generator=torch.Generator().manual_seed(seed))
    probabilities = logits.double().softmax(dim=1)
    inverse = [1 / count for count in counts.tolist()]
    losses = []
    for row, label in enumerate(labels.tolist()):
        target = torch.zeros(4).double()
        target[label] = 1
        influence = float((probabilities[row] - target).abs().sum() * embeddings[row].double().abs().sum())
        balance = inverse[label] * 4 / sum(inverse)
        losses.append(-float(probabilities[row, label].log()) * balance * alpha / (influence + epsilon))
    found = InfluenceBalancedLoss(alpha, epsilon)(logits, labels, weights, counts, embeddings).item()
    assert found == pytest.approx(weighted_mean(losses, labels, weights), rel=1e-4)


def test_before_the_start_epoch_it_is_cross_entropy() -> None:
    batch = draw_batch(0)
    loss = InfluenceBalancedLoss(start_epoch=2)
    for epoch in (0, 1):
        loss.set_epoch(epoch)
        torch.testing.assert_close(loss(*batch), CrossEntropyLoss()(*batch))
    loss.set_epoch(2)
    with pytest.raises(ValueError, match=r"embeddings: expected shape \(7, d\), got None"):
        loss(*batch)


def test_the_embeddings_get_no_gradient_through_the_factor() -> None:
    logits, labels, weights, counts = draw_batch(1)
    embeddings = torch.ones(7, 3, requires_grad=True)
    logits.requires_grad_()
    InfluenceBalancedLoss()(logits, labels, weights, counts, embeddings).backward()
    assert embeddings.grad is None
    assert logits.grad is not None


def test_the_settings_are_checked() -> None:
    for settings in ({"alpha": -1.0}, {"epsilon": 0.0}, {"start_epoch": -1}):
        with pytest.raises(ValueError, match=f"{next(iter(settings))}: expected (0 or more|a .*finite number)"):
            InfluenceBalancedLoss(**settings)
