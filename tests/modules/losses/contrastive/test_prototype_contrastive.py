from functools import cache

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from modules.losses.contrastive.prototype_contrastive import PrototypeContrastiveLoss


@cache
def make_loss(close: float) -> PrototypeContrastiveLoss:
    """Cached, since placing the prototypes takes longer than all else."""
    loss = PrototypeContrastiveLoss(close, 0.2, 0.1)
    loss.build(torch.tensor([9, 0, 2]), 4)
    return loss


@given(seed=st.integers(0, 1_000), close=st.sampled_from([-1.0, 0.0, 0.5, 1.0]))
def test_equals_a_loop(seed: int, close: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    views, labels = torch.randn(5, 2, 4, generator=generator), torch.tensor([0, 2, 2, 0, 2])
    loss = make_loss(close)
    value = loss(views, labels)
    # Two prototypes, of classes 0 and 2.
    prototypes = loss.prototypes.double()
    unit = torch.nn.functional.normalize(views.double().flatten(0, 1), dim=1)
    total = 0.0
    for anchor in range(10):
        sample = anchor // 2
        other, prototype = 2 * sample + 1 - anchor % 2, prototypes[int(labels[sample]) // 2]
        columns = torch.cat([unit[torch.arange(10) != anchor], prototypes])
        log_sum = float((columns @ unit[anchor] / 0.2).logsumexp(0))
        positives = [unit[other], *([prototype] if float(unit[anchor] @ prototype) <= close else [])]
        total += sum(log_sum - float(unit[anchor] @ p) / 0.2 for p in positives) / len(positives) / 10
    torch.testing.assert_close(value, torch.tensor(2 * total, dtype=torch.float32), rtol=1e-5, atol=1e-5)


def test_the_prototypes_of_two_classes_are_opposite() -> None:
    loss = PrototypeContrastiveLoss()
    loss.build(torch.tensor([5, 5]), 8)
    loss(torch.randn(2, 2, 8), torch.tensor([0, 1]))
    assert float(loss.prototypes[0] @ loss.prototypes[1]) == pytest.approx(-1, abs=1e-3)


def test_settings_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match=r"max_cosine: expected a number from -1 to 1, got 2"):
        PrototypeContrastiveLoss(2)
