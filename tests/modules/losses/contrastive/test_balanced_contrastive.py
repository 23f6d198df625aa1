import math

import torch
from hypothesis import given
from hypothesis import strategies as st

from modules.losses.contrastive.balanced_contrastive import BalancedContrastiveLoss


def build(counts: list[int], temperature: float = 0.3) -> BalancedContrastiveLoss:
    torch.manual_seed(0)
    loss = BalancedContrastiveLoss(temperature, temperature)
    loss.build(torch.tensor(counts), 4)
    return loss


@given(seed=st.integers(0, 1_000))
def test_equals_a_loop(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    # Class 3 has no training samples, class 2 none in the batch.
    views, labels = torch.randn(5, 2, 4, generator=generator), torch.randint(2, (5,), generator=generator)
    loss = build([9, 5, 4, 0])
    rows = torch.cat([views.flatten(0, 1), loss.centers.detach()[:3]]).double()
    unit = torch.nn.functional.normalize(rows, dim=1)
    classes = [*labels.repeat_interleave(2).tolist(), 0, 1, 2]
    total = 0.0
    for anchor in range(10):
        similarity = [float(unit[anchor] @ unit[k]) / 0.3 for k in range(13)]
        denominator = 0.0
        for label in range(3):
            members = [k for k in range(13) if classes[k] == label and k != anchor]
            denominator += sum(math.exp(similarity[k]) for k in members) / len(members)
        positives = [k for k in range(13) if classes[k] == classes[anchor] and k != anchor]
        total += sum(math.log(denominator) - similarity[k] for k in positives) / len(positives) / 10
    torch.testing.assert_close(loss(views, labels), torch.tensor(total, dtype=torch.float32), rtol=1e-5, atol=1e-5)


def test_the_centers_are_trained() -> None:
    loss = build([5, 5, 0])
    loss(torch.randn(3, 2, 4), torch.tensor([0, 1, 1])).backward()
    assert loss.centers.grad is not None
    assert (loss.centers.grad[:2].abs().sum(dim=1) > 0).all()
    assert torch.equal(loss.centers.grad[2], torch.zeros(4))
    assert "centers" in loss.state_dict()
