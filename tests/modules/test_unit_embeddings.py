import math

import pytest
import torch
from torch import Tensor

from modules.unit_embeddings import check_rows, group_means, unit_embeddings


def test_equals_the_vector_over_its_length() -> None:
    torch.testing.assert_close(unit_embeddings(torch.tensor([[3.0, -4.0]])), torch.tensor([[0.6, -0.8]]))


@pytest.mark.parametrize("scale", [1e-10, 1.0, 1e37])
def test_any_usable_scale_gives_the_same_direction(scale: float) -> None:
    vectors = torch.randn(4, 3, 6, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(unit_embeddings(vectors * scale), unit_embeddings(vectors))
    torch.testing.assert_close(unit_embeddings(vectors).norm(dim=-1), torch.ones(4, 3))


def test_the_gradient_is_that_of_the_plain_formula() -> None:
    plain = torch.randn(5, 4, generator=torch.Generator().manual_seed(0)).requires_grad_()
    ours = plain.detach().clone().requires_grad_()
    target = torch.randn(5, 4, generator=torch.Generator().manual_seed(1))
    (expected,) = torch.autograd.grad((plain / plain.norm(dim=1, keepdim=True) * target).sum(), plain)
    (actual,) = torch.autograd.grad((unit_embeddings(ours) * target).sum(), ours)
    torch.testing.assert_close(actual, expected)


def test_a_zero_vector_stays_zero_with_a_bounded_gradient() -> None:
    vector = torch.zeros(1, 3, requires_grad=True)
    (gradient,) = torch.autograd.grad(unit_embeddings(vector).sum(), vector)
    assert torch.equal(unit_embeddings(vector), torch.zeros(1, 3))
    assert gradient.abs().max() <= 2


def test_low_precision_gives_fp32() -> None:
    vectors = torch.randn(4, 6, generator=torch.Generator().manual_seed(0)).bfloat16()
    assert unit_embeddings(vectors).dtype == torch.float32
    torch.testing.assert_close(unit_embeddings(vectors).norm(dim=1), torch.ones(4))


def test_group_means_by_hand_with_an_empty_group() -> None:
    values = torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 9.0]])
    means, counts = group_means(values, torch.tensor([2, 0, 2]), 3)
    assert torch.equal(means, torch.tensor([[3.0, 4.0], [0.0, 0.0], [3.0, 5.5]]))
    assert torch.equal(counts, torch.tensor([1, 0, 2]))


ROWS = torch.ones(3, 2)
CLASSES = torch.tensor([0, 1, 1])


@pytest.mark.parametrize(
    ("values", "classes", "num_classes", "message"),
    [
        (ROWS, CLASSES, 0, "num_classes: expected 1 or more, got 0"),
        (ROWS.flatten(), CLASSES, 2, r"vectors: expected a non-empty floating-point tensor of shape \(rows, d\)"),
        (ROWS[:0], CLASSES[:0], 2, r"vectors: expected a non-empty .* \(0, 2\)"),
        (ROWS.long(), CLASSES, 2, "got torch.int64"),
        (ROWS, CLASSES[:2], 2, r"int64 of shape \(3,\), got torch.int64 \(2,\)"),
        (ROWS, CLASSES.float(), 2, "int64 .* got torch.float32"),
        (ROWS, CLASSES, 1, r"expected values in 0\.\.0, got 0\.\.1"),
        (ROWS, CLASSES - 1, 2, r"expected values in 0\.\.1, got -1\.\.0"),
    ],
)
def test_invalid_rows_are_named(values: Tensor, classes: Tensor, num_classes: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_rows("vectors", values, classes, num_classes)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_values_that_are_not_finite_name_their_classes(value: float) -> None:
    values = torch.ones(4, 2)
    values[1, 0] = values[2] = value
    with pytest.raises(ValueError, match=r"in 2 rows of classes \[3, 5\]"):
        check_rows("vectors", values, torch.tensor([0, 5, 3, 3]), 6)
