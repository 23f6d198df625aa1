import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from modules.losses.contrastive import anchor_blocks
from modules.losses.contrastive.anchor_blocks import sum_over_blocks
from modules.losses.contrastive.subcluster_contrastive import SubclusterContrastiveLoss
from modules.losses.contrastive.supervised_contrastive import SupervisedContrastiveLoss

FACTORS = torch.linspace(-1, 2, 12)


def block_loss(similarity: Tensor, rows: slice) -> Tensor:
    """A loss that depends on the rows of the anchors."""
    return (FACTORS[rows].unsqueeze(1) * similarity).exp().sum(dim=1).log().sum()


@settings(deadline=None)
@given(
    seed=st.integers(0, 1_000),
    number=st.integers(1, 12),
    ends=st.tuples(st.integers(0, 12), st.integers(0, 12)),
    at_once=st.integers(1, 150),
)
def test_value_and_gradient_are_those_of_all_anchors_at_once(
    seed: int, number: int, ends: tuple[int, int], at_once: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    keys = torch.randn(number, 3, generator=generator, dtype=torch.float64).requires_grad_()
    rows = slice(min(*ends, number), min(max(ends), number))
    whole = block_loss(keys[rows] @ keys.T, rows)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(anchor_blocks, "_SIMILARITIES_ON_CPU", at_once)
        found = sum_over_blocks(keys, rows, block_loss)
    torch.testing.assert_close(found, whole)
    torch.testing.assert_close(torch.autograd.grad(3 * found, keys), torch.autograd.grad(3 * whole, keys))


def test_no_block_has_more_similarities_than_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(anchor_blocks, "_SIMILARITIES_ON_CPU", 25)
    blocks: list[tuple[slice, tuple[int, ...]]] = []

    def loss(similarity: Tensor, rows: slice) -> Tensor:
        blocks.append((rows, tuple(similarity.shape)))
        return similarity.sum()

    sum_over_blocks(torch.eye(10), slice(3, 8), loss)
    assert blocks == [(slice(3, 5), (2, 10)), (slice(5, 7), (2, 10)), (slice(7, 8), (1, 10))]


@pytest.mark.parametrize("without", [torch.no_grad, torch.inference_mode])
def test_without_gradients_the_value_is_the_same(without: type[torch.no_grad] | type[torch.inference_mode]) -> None:
    keys = torch.randn(6, 3, generator=torch.Generator().manual_seed(0))
    with_gradients = sum_over_blocks(keys.clone().requires_grad_(), slice(0, 6), block_loss)
    with without():
        found = sum_over_blocks(keys.clone(), slice(0, 6), block_loss)
        labels = torch.tensor([0, 0, 1, 1, 2, 2])
        assert SupervisedContrastiveLoss()(keys.view(6, 1, 3), labels) > 0
    assert not found.requires_grad
    assert torch.equal(found, with_gradients.detach())


@pytest.mark.parametrize("views", [1, 2])
def test_blocks_leave_the_subcluster_loss_as_it_is(monkeypatch: pytest.MonkeyPatch, views: int) -> None:
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(4, (20,), generator=generator)
    subclusters = 3 * labels + torch.randint(3, (20,), generator=generator)
    given_views = torch.randn(20, views, 5, generator=generator).requires_grad_()
    temperatures = torch.tensor([0.1, 0.2, 0.5, 1.0])
    values: list[Tensor] = []
    gradients: list[Tensor] = []
    for at_once in (10**6, 7 * 20 * views):
        monkeypatch.setattr(anchor_blocks, "_SIMILARITIES_ON_CPU", at_once)
        value = SubclusterContrastiveLoss()(given_views, labels, subclusters, temperatures)
        values.append(value)
        gradients += torch.autograd.grad(value, given_views)
    torch.testing.assert_close(values[0], values[1])
    torch.testing.assert_close(gradients[0], gradients[1])
