"""Offsets of single classes: their optimum, their shrinkage, and the folds that they are fitted without."""

from __future__ import annotations

import torch
from torch.nn import functional

from modules.decisions.class_offsets import PSEUDO_SAMPLES, fit_offsets
from tests.modules.decisions.drawn_scores import COUNTS, made_scores

PRIORS = (COUNTS / COUNTS.sum()).log()


def penalized(scores: torch.Tensor, labels: torch.Tensor, offsets: torch.Tensor) -> torch.Tensor:
    losses = functional.cross_entropy(scores + offsets, labels, reduction="sum")
    return losses + PSEUDO_SAMPLES / 2 * offsets.square().sum()


def by_optimizer(scores: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """The offsets by an optimizer that knows nothing of the problem."""
    offsets = torch.zeros(scores.shape[1], dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([offsets], max_iter=200, tolerance_grad=1e-9, line_search_fn="strong_wolfe")

    def step() -> torch.Tensor:
        optimizer.zero_grad()
        loss = penalized(scores.double(), labels, offsets)
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    optimizer.step(step)  # type: ignore[no-untyped-call]
    return offsets.detach().float()


def test_offsets_are_the_optimum_and_leave_their_fold_out() -> None:
    scores = made_scores()
    logits = scores.logits + PRIORS + torch.tensor([0.0, 1.0, -1.0, 0.5, -2.0])
    found = fit_offsets(logits, scores.labels)
    torch.testing.assert_close(found.offsets, by_optimizer(logits, scores.labels), atol=1e-3, rtol=0)
    for place, offsets in enumerate(found.by_fold):
        others = found.fold != place
        expected = by_optimizer(logits[others], scores.labels[others])
        # One step of Newton's method from the offsets of all samples.
        assert float((offsets - expected).abs().max()) < 0.2 * float((found.offsets - expected).abs().max()) + 1e-3
    assert torch.equal(found.crossed, found.by_fold[found.fold])


def test_scores_that_are_far_off_have_the_optimum_too() -> None:
    # The first step of Newton's method goes too far by a factor of nine here.
    generator = torch.Generator().manual_seed(0)
    labels = torch.cat([torch.zeros(300), torch.arange(1, 10).repeat(300)]).long()
    logits = 3 * torch.nn.functional.one_hot(labels, 10) + torch.randn(3_000, 10, generator=generator)
    logits[:, 0] -= 6
    found = fit_offsets(logits, labels)
    torch.testing.assert_close(found.offsets, by_optimizer(logits, labels), atol=1e-3, rtol=0)
    assert float(found.by_fold.abs().max()) < 8


def test_a_wrong_offset_is_undone_as_far_as_the_samples_of_the_class_carry_it() -> None:
    scores = made_scores(samples=20_000)
    logits = scores.logits + PRIORS + torch.tensor([0.0, 0.0, 0.0, -1.0, 0.0])
    few, many = (fit_offsets(logits[:number], scores.labels[:number]).offsets for number in (60, 20_000))
    assert abs(float(few[3])) < 0.3
    assert 0.8 < float(many[3] - many[0]) < 1.2
