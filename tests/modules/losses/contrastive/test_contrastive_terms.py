import math

import pytest
import torch
from torch import Tensor

from modules.losses.contrastive.contrastive_terms import contrastive_term, group_term, unit_keys


def test_views_of_a_sample_are_adjacent_keys() -> None:
    views = torch.tensor([[[2.0, 0.0], [0.0, 3.0]], [[-1.0, 0.0], [1.0, 1.0]]])
    half = math.sqrt(0.5)
    expected = torch.tensor(
        [[1, 0, -1, half], [0, 1, 0, half], [-1, 0, 1, -half], [half, half, -half, 1]], dtype=torch.float32
    )
    torch.testing.assert_close(unit_keys(views) @ unit_keys(views).T, expected)


def test_a_term_averages_over_the_anchors_that_have_a_positive() -> None:
    similarity = torch.tensor([[9.0, 1.0, 0.0], [1.0, 9.0, 2.0], [0.0, 2.0, 9.0]])
    positives = torch.tensor([[0, 1, 0], [1, 0, 0], [0, 0, 0]], dtype=torch.bool)
    denominators = torch.tensor([[0, 1, 1], [1, 0, 1], [0, 0, 0]], dtype=torch.bool)
    first = math.log(math.exp(0.5) + 1) - 0.5
    second = math.log(math.exp(1) + math.exp(2)) - 1
    term = contrastive_term(similarity, positives, denominators, torch.tensor([[2.0], [1.0], [1.0]]))
    assert term.item() == pytest.approx((first + second) / 2, rel=1e-6)


def test_an_anchor_without_positives_and_denominators_has_no_gradient() -> None:
    similarity = torch.zeros(3, 3, requires_grad=True)
    nothing = torch.zeros(3, 3, dtype=torch.bool)
    (gradient,) = torch.autograd.grad(contrastive_term(similarity, nothing, nothing, 1e-3), similarity)
    assert torch.equal(gradient, torch.zeros(3, 3))


def test_one_group_of_equal_similarities_gives_the_logarithm_of_the_number_of_others() -> None:
    assert group_term(torch.ones(5, 5), torch.zeros(5), 0.1).item() == pytest.approx(math.log(4), rel=1e-6)


def test_huge_logits_do_not_overflow() -> None:
    similarity = torch.eye(4) * 2 - 1
    assert group_term(similarity, torch.tensor([0, 0, 1, 1]), 1e-6).item() == pytest.approx(math.log(3), rel=1e-6)


@pytest.mark.parametrize("with_sizes", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
def test_the_gradient_is_that_of_finite_differences(with_sizes: bool, weighted: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    similarity = torch.randn(4, 6, generator=generator, dtype=torch.float64).requires_grad_()
    denominators = torch.rand(4, 6, generator=generator) < 0.8
    positives = denominators & (torch.rand(4, 6, generator=generator) < 0.5)
    positives[2] = False
    temperatures = torch.tensor([[0.3], [0.7], [1.0], [0.5]], dtype=torch.float64)
    sizes = torch.rand(4, 6, generator=generator, dtype=torch.float64) if with_sizes else None
    chosen = positives * 1.5 if weighted else positives

    def value(given: Tensor) -> Tensor:
        return contrastive_term(given, chosen, denominators, temperatures, log_sizes=sizes)

    assert torch.autograd.gradcheck(value, (similarity,))
