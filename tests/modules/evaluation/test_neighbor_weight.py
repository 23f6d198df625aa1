"""The weight of the opinion of the nearest training samples."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from modules.evaluation.neighbor_weight import WEIGHTS, best_weight


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


def test_the_choice_does_not_depend_on_the_scale_of_both() -> None:
    labels, noise = drawn()
    scores, opinions = functional.one_hot(labels, 2) + noise, functional.one_hot(labels, 2) + noise.flip(0)
    chosen, temperature = best_weight(scores, opinions, labels)
    assert 0 < chosen < max(WEIGHTS)
    weight, larger = best_weight(7 * scores, 7 * opinions, labels)
    assert weight == chosen
    assert larger == pytest.approx(7 * temperature, rel=1e-3)


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
