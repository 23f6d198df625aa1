"""Confusion counts of many candidate decisions by fold, and what they are worth."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

EVIDENCE = 2.0
"""Standard errors that a difference must have to be believed."""


@dataclass(frozen=True)
class Confusions:
    """Confusion counts of P candidates, by fold or over folds.

    Attributes:
        hits: Samples of each class that are predicted correctly, float64 (..., P, C).
        predicted: Samples that each class is predicted for, float64 (..., P, C).
        support: Samples of each class, float64 (..., 1, C).
    """

    hits: Tensor
    predicted: Tensor
    support: Tensor

    @classmethod
    def by_fold(
        cls, candidates: Iterable[Tensor], labels: Tensor, fold: Tensor, folds: int, num_classes: int
    ) -> Confusions:
        """Count the confusions of each of K folds.

        Args:
            candidates: P times the predicted labels, int64 (N,).
            labels: Labels, int64 (N,).
            fold: Fold of each sample, int64 (N,).
            folds: Number of folds K.
            num_classes: Number of classes C.
        """
        first, cells = fold * num_classes, folds * num_classes
        hits, predicted = [], []
        for own in candidates:
            hits.append(torch.bincount((first + labels)[own == labels], minlength=cells))
            predicted.append(torch.bincount(first + own, minlength=cells))
        support = torch.bincount(first + labels, minlength=cells)
        shape = (len(hits), folds, num_classes)
        both = [torch.stack(counts).view(shape).transpose(0, 1).double() for counts in (hits, predicted)]
        return cls(both[0], both[1], support.view(folds, 1, num_classes).double())

    def total(self) -> Confusions:
        """The counts over all folds, (P, C)."""
        return Confusions(self.hits.sum(dim=0), self.predicted.sum(dim=0), self.support.sum(dim=0))

    def without_each(self) -> Confusions:
        """The counts over all folds but one, for each fold, (K, P, C)."""
        whole = self.total()
        return Confusions(whole.hits - self.hits, whole.predicted - self.predicted, whole.support - self.support)


Utility = Callable[[Confusions], Tensor]
"""What each candidate is worth, the more the better: float64 (..., P) from counts (..., P, C)."""


def balanced_accuracy(counts: Confusions) -> Tensor:
    """Mean recall of the classes with samples."""
    return group_accuracy(counts, tuple(range(counts.support.shape[-1])))


def group_accuracy(counts: Confusions, classes: tuple[int, ...]) -> Tensor:
    """Mean recall of some of the classes, of those with samples; 0 if none has."""
    hits, support = counts.hits[..., classes], counts.support[..., classes]
    return (hits / support.clamp(min=1)).sum(dim=-1) / (support > 0).sum(dim=-1).clamp(min=1)


def accuracy(counts: Confusions) -> Tensor:
    """Share of the samples that are predicted correctly."""
    return counts.hits.sum(dim=-1) / counts.support.sum(dim=-1).clamp(min=1)


def macro_f1(counts: Confusions) -> Tensor:
    """Mean F1 of the classes with samples."""
    present = counts.support > 0
    scores = 2 * counts.hits / (counts.predicted + counts.support).clamp(min=1)
    return (scores * present).sum(dim=-1) / present.sum(dim=-1).clamp(min=1)


def standard_errors(utility: Utility, counts: Confusions, compared: int) -> Tensor:
    """Standard error of the difference in utility between each candidate and one of them.

    By the delete-a-group jackknife (Efron and Tibshirani, 1993, chapter 11), which needs no formula for a utility.

    Args:
        utility: The utility.
        counts: Counts of K folds.
        compared: Index of the candidate to compare with.

    Returns:
        float64 (P,).
    """
    values = utility(counts.without_each())
    differences = values - values[:, compared : compared + 1]
    folds = len(values)
    return ((folds - 1) / folds * (differences - differences.mean(dim=0)).square().sum(dim=0)).sqrt()


def nearest_of_the_best(utility: Utility, counts: Confusions, distances: Tensor) -> int:
    """Choose the candidate at the smallest distance among those that are not shown to be worse than the best.

    After the one-standard-error rule (Breiman et al., 1984): of the candidates within `EVIDENCE` standard errors of the
    best one, the simplest is taken. The best itself is a noisy choice where classes have few samples.

    Args:
        utility: The utility.
        counts: Counts of K folds.
        distances: Distance of each candidate from the one to take without samples, (P,).

    Returns:
        Index of the candidate.
    """
    values = utility(counts.total())
    best = int(values.argmax())
    # A sum of many recalls may differ in the last digits between equal candidates.
    fits = values >= values[best] - EVIDENCE * standard_errors(utility, counts, best) - 1e-12
    return int(distances.double().masked_fill(~fits, torch.inf).argmin())
