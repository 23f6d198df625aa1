"""What predicted labels are worth, from counts of the entries of each label."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor


@dataclass(frozen=True)
class EntryCounts:
    """Numbers of samples of which it is known whether they have a label, for one threshold or several.

    Attributes:
        hits: Samples with the label for which it is predicted, int64 (...).
        alarms: Samples without the label for which it is predicted, int64 (...).
        has: Samples with the label, int64 (...).
        has_not: Samples without the label, int64 (...).
    """

    hits: Tensor
    alarms: Tensor
    has: Tensor
    has_not: Tensor


class LabelUtility(NamedTuple):
    """A number to maximize, as the mean over labels.

    Attributes:
        value: What the predictions of each label are worth, floating point (...); NaN for labels that cannot be judged.
        support: Number of samples on which the best threshold of a label rests, int64 (...).
    """

    value: Callable[[EntryCounts], Tensor]
    support: Callable[[EntryCounts], Tensor]


def _has(counts: EntryCounts) -> Tensor:
    return counts.has


def _rarer(counts: EntryCounts) -> Tensor:
    return torch.minimum(counts.has, counts.has_not)


def _f1(counts: EntryCounts) -> Tensor:
    values = 2 * counts.hits / (counts.hits + counts.alarms + counts.has).clamp(min=1)
    return torch.where(counts.has > 0, values, torch.nan)


def _balanced_accuracy(counts: EntryCounts) -> Tensor:
    # One division of whole numbers, so that equal values are equal in floating point.
    both = counts.has * counts.has_not
    right = counts.hits * counts.has_not + (counts.has_not - counts.alarms) * counts.has
    return torch.where(both > 0, right.double() / (2 * both).clamp(min=1), torch.nan)


def _right(counts: EntryCounts) -> Tensor:
    right = counts.hits + counts.has_not - counts.alarms
    return torch.where(counts.has + counts.has_not > 0, right.double(), torch.nan)


MACRO_F1 = LabelUtility(_f1, _has)
"""F1 of the labels that a sample has."""
BALANCED_ACCURACY = LabelUtility(_balanced_accuracy, _rarer)
"""Mean of recall and specificity of the labels that some samples have and others have not."""
ACCURACY = LabelUtility(_right, _rarer)
"""Number of known entries that are right, whose mean over labels is the accuracy up to a factor."""
