"""The weight of a second opinion."""

from __future__ import annotations

import math

import numpy
import pytest
import torch
from torch.nn import functional

from modules.evaluation.opinion_weight import WEIGHTS, best_weight


def drawn(size: int = 300) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    labels = (torch.rand(size, generator=generator) < 0.2).long()
    return labels, torch.randn(size, 2, generator=generator)


def test_an_opinion_that_knows_nothing_does_not_count() -> None:
    labels, noise = drawn()
    scores = functional.one_hot(labels, 2).float()
    assert best_weight(scores, noise, labels)[0] == 0
    assert best_weight(scores, torch.zeros_like(noise), labels)[0] == 0


def test_scores_that_know_nothing_leave_the_choice_to_the_opinion() -> None:
    labels, noise = drawn()
    assert best_weight(0.1 * noise, functional.one_hot(labels, 2).float(), labels)[0] == max(WEIGHTS)


def test_with_many_samples_the_choice_does_not_depend_on_the_scale_of_both() -> None:
    labels, noise = drawn(30_000)
    scores, opinions = functional.one_hot(labels, 2) + noise, functional.one_hot(labels, 2) + noise.flip(0)
    chosen, temperature = best_weight(scores, opinions, labels)
    assert 0 < chosen < max(WEIGHTS)
    # The cost of a temperature other than 1 does.
    weight, larger = best_weight(7 * scores, 7 * opinions, labels)
    assert weight == chosen
    assert larger == pytest.approx(7 * temperature, rel=5e-3)


@pytest.mark.parametrize("size", [4, 16, 60])
def test_few_samples_that_are_told_apart_keep_a_temperature_near_1(size: int) -> None:
    labels = torch.arange(size) % 4
    scores, opinions = 4 * functional.one_hot(labels, 4).float(), 2 * functional.one_hot(labels, 4).float()
    _, temperature = best_weight(scores, opinions, labels)
    assert 1 / 8 < temperature <= 1


def test_samples_count_as_often_as_equal_ones_of_the_same_variance() -> None:
    # Ten of one class and one of the other, all as sure of their label: weights 1/20 and 1/2, so 1 / (1/40 + 1/4).
    labels = torch.tensor([0] * 10 + [1])
    scores = functional.one_hot(labels, 2).float()

    def loss(log_temperature: float) -> float:
        nll = math.log1p(math.exp(-math.exp(-log_temperature)))
        return nll / (1 / 40 + 1 / 4) + log_temperature**2 / 2

    grid = numpy.linspace(-3, 3, 60_001)
    expected = math.exp(float(grid[numpy.argmin([loss(value) for value in grid])]))
    weight, temperature = best_weight(scores, torch.zeros_like(scores), labels)
    assert weight == 0
    assert temperature == pytest.approx(expected, rel=1e-3)


def test_the_choice_minimizes_the_balanced_loss_of_a_grid() -> None:
    labels, noise = drawn()
    scores, opinions = functional.one_hot(labels, 2) + noise, functional.one_hot(labels, 2) + noise.flip(0)

    def loss(weight: float) -> float:
        mixed, found = scores + weight * opinions, []
        for step in range(-40, 41):
            each = functional.cross_entropy(mixed * 1.1**step, labels, reduction="none")
            found.append(float((each[labels == 0].mean() + each[labels == 1].mean()) / 2))
        return min(found)

    assert best_weight(scores, opinions, labels)[0] == min(WEIGHTS, key=loss)


def test_without_samples_it_does_not_count() -> None:
    assert best_weight(torch.zeros(0, 2), torch.zeros(0, 2), torch.zeros(0, dtype=torch.int64)) == (0, 1)
