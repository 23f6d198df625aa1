"""The samples that a decision is chosen on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from modules.decisions.class_offsets import CrossedOffsets, fit_offsets
from modules.decisions.confusions import Confusions
from modules.losses.classification.class_priors import log_priors

STRENGTHS = tuple(step / 10 for step in range(-15, 26))
"""Strengths of the prior to try, of which 0 is none and 1 that of the training samples."""
GROUPS = 20
"""Number of groups of samples, from whose differences standard errors are computed."""


def even_folds(labels: Tensor, number: int) -> Tensor:
    """Assign samples to folds, which share each class as evenly as its samples allow.

    Args:
        labels: Labels, int64 (N,).
        number: Number of folds.

    Returns:
        The fold of each sample, int64 (N,).
    """
    order = labels.argsort(stable=True)
    fold = torch.empty_like(labels)
    fold[order] = torch.arange(len(order), device=labels.device) % number
    return fold


@dataclass(frozen=True)
class DecisionSamples:
    """N samples that the model was not trained on, all of classes with training samples.

    The strength of the prior counts from scores without it: 0 is a uniform prior, 1 that of the training samples.

    Attributes:
        scores: Scores before the decision, fp32 (N, C), strongly negative for classes without training samples.
        labels: Labels, int64 (N,).
        counts: Training samples of each class, int64 (C,).
        head: Head classes.
        strength: Strength of the prior that the scores contain.
        at_prior: Labels predicted at the training prior, as plain cross-entropy predicts them, int64 (N,).
    """

    scores: Tensor
    labels: Tensor
    counts: Tensor
    head: tuple[int, ...]
    strength: float
    at_prior: Tensor

    def offset(self, strength: float) -> Tensor:
        """Offset of each class, fp32 (C,), with which the scores contain the prior at a strength."""
        return (strength - self.strength) * log_priors(self.counts)

    def predicted(self, offset: Tensor) -> Tensor:
        """Labels of the highest scores after an offset of each class, (C,); int64 (N,)."""
        return (self.scores + offset).argmax(dim=1)

    def folds(self, number: int) -> Tensor:
        """Assign the samples to folds, see `even_folds`; int64 (N,)."""
        return even_folds(self.labels, number)

    def confusions(self, candidates: Sequence[Tensor]) -> Confusions:
        """Count the confusions of `GROUPS` groups of the samples for several times their predicted labels, (N,)."""
        return Confusions.by_fold(candidates, self.labels, self.folds(GROUPS), GROUPS, len(self.counts))

    @cached_property
    def strengths(self) -> tuple[float, ...]:
        """The strengths of the prior to try, ascending."""
        return tuple(sorted({*STRENGTHS, self.strength}))

    @cached_property
    def by_strength(self) -> Confusions:
        """The confusions at each of the strengths."""
        labels = torch.empty(len(self.strengths), len(self.labels), dtype=torch.int64)
        offsets = [self.offset(strength) for strength in self.strengths]
        everyone = torch.arange(len(self.labels))
        for end in (0, len(offsets) - 1):
            labels[end] = self.predicted(offsets[end])
        _fill_between(self.scores, offsets, labels, 0, len(offsets) - 1, everyone)
        return self.confusions(list(labels))

    @cached_property
    def class_offsets(self) -> CrossedOffsets:
        """Offsets of single classes at the training prior, see `fit_offsets`."""
        return fit_offsets(self.scores + self.offset(1.0), self.labels)


def _fill_between(
    scores: Tensor, offsets: Sequence[Tensor], labels: Tensor, first: int, last: int, rows: Tensor
) -> None:
    """Predict some rows at the strengths between two, at which they are predicted.

    The score of a class is a line over the strength, so a class that is the best at both ends is the best between them.
    """
    if last - first < 2 or not len(rows):
        return
    same = labels[first, rows] == labels[last, rows]
    labels[first + 1 : last, rows[same]] = labels[first, rows[same]]
    rows, middle = rows[~same], (first + last) // 2
    if len(rows):
        labels[middle, rows] = (scores[rows] + offsets[middle]).argmax(dim=1)
    _fill_between(scores, offsets, labels, first, middle, rows)
    _fill_between(scores, offsets, labels, middle, last, rows)


@dataclass(frozen=True)
class Choice:
    """What an objective has chosen.

    Attributes:
        offset: Offset of the score of each class, fp32 (C,).
        costs: Cost of each true class (row) predicted as each class (column), fp32 (C, C), whose expectation the
            prediction minimizes; None to predict the class of the highest score.
    """

    offset: Tensor
    costs: Tensor | None = None
