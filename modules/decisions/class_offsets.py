"""Offsets of single classes, shrunken by the number of their samples."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

PSEUDO_SAMPLES = 10.0
"""Strength of the shrinkage: the offset of a class with about as many samples is halved."""
_ITERATIONS = 50
_TOLERANCE = 1e-6
_FOLDS = 5


@dataclass(frozen=True)
class CrossedOffsets:
    """Offsets of single classes, from all samples and from all but those of each fold.

    Attributes:
        offsets: From all samples, fp32 (C,).
        by_fold: From all samples but those of each fold, fp32 (K, C).
        fold: Fold of each sample, int64 (N,).
    """

    offsets: Tensor
    by_fold: Tensor
    fold: Tensor

    @property
    def crossed(self) -> Tensor:
        """The offsets for each sample that were fitted without its fold, fp32 (N, C)."""
        return self.by_fold[self.fold]


def fit_offsets(scores: Tensor, labels: Tensor) -> CrossedOffsets:
    """Find the offsets of the highest likelihood with a ridge penalty.

    With the offsets, the probabilities of each class sum to the number of its samples: the bias correction of
    Alexandari et al. (2020, arXiv 1901.06852). The penalty ``PSEUDO_SAMPLES / 2 * offset^2`` shrinks the offset of a
    class by the number of its samples. The problem is strictly convex; Newton's steps are halved until the penalized
    likelihood rises. The offsets without a fold are one step from those of all samples.

    Args:
        scores: Scores whose softmax are the probabilities of the classes, fp32 (N, C).
        labels: Labels, int64 (N,).
    """
    number = scores.shape[1]
    order, fold = labels.argsort(stable=True), torch.empty_like(labels)
    fold[order] = torch.arange(len(labels)) % _FOLDS
    cells = torch.bincount(fold * number + labels, minlength=_FOLDS * number).view(_FOLDS, number).double()
    ridge = PSEUDO_SAMPLES * torch.eye(number, dtype=torch.float64)
    offsets, support = torch.zeros(number, dtype=torch.float64), cells.sum(dim=0)

    def moments(shares: Tensor) -> tuple[Tensor, Tensor]:
        expected = (shares.new_ones(1, len(shares)) @ shares)[0].double()
        return expected, torch.diag(expected) - (shares.T @ shares).double()

    def step(support: Tensor, expected: Tensor, curvature: Tensor) -> Tensor:
        moved: Tensor = torch.linalg.solve(curvature + ridge, support - expected - PSEUDO_SAMPLES * offsets)
        return moved

    def cost(offsets: Tensor) -> float:
        totals = (scores + offsets.float()).logsumexp(dim=1).double().sum()
        return float(totals - support @ offsets + PSEUDO_SAMPLES / 2 * offsets.square().sum())

    reached = cost(offsets)
    for _ in range(_ITERATIONS):
        moved = step(support, *moments((scores + offsets.float()).softmax(dim=1)))
        while float(moved.abs().max()) > _TOLERANCE and (found := cost(offsets + moved)) > reached:
            moved = moved / 2
        if float(moved.abs().max()) <= _TOLERANCE:
            break
        offsets, reached = offsets + moved, found
    shares = (scores + offsets.float()).softmax(dim=1)
    own = [moments(shares[fold == place]) for place in range(_FOLDS)]
    expected, curvature = (sum(several, torch.zeros(())) for several in zip(*own, strict=True))
    by_fold = [
        offsets + step(support - cells[place], expected - own[place][0], curvature - own[place][1])
        for place in range(_FOLDS)
    ]
    return CrossedOffsets(offsets.float(), torch.stack(by_fold).float(), fold)
