"""Recall of each class, and reliability of the probabilities, from the predictions of test samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy
from numpy.typing import NDArray

from modules.evaluation.group_names import GROUPS, Group
from reports.analysis.shares import share


@dataclass(frozen=True)
class ClassScores:
    """Sample counts and recall of C classes.

    Attributes:
        names: C labels.
        training: int64 (C,), number of training samples.
        test: int64 (C,), number of test samples.
        recall: float64 (C,), fraction of the test samples of a class that are predicted correctly; NaN without any.
        groups: Group of each class, by its number of training samples.
    """

    names: tuple[str, ...]
    training: NDArray[Any]
    test: NDArray[Any]
    recall: NDArray[Any]
    groups: tuple[Group, ...]

    def members(self, group: Group) -> NDArray[Any]:
        """Codes of the classes in a group, ascending."""
        codes: NDArray[Any] = numpy.flatnonzero(numpy.array(self.groups) == group)
        return codes

    def group_recall(self, group: Group) -> float:
        """Mean recall of the classes in a group that have test samples; NaN without any."""
        return _mean(self.recall[self.members(group)])


def class_groups(training: Sequence[int], head_fraction: float, tail_fraction: float) -> tuple[Group, ...]:
    """The group of each class, as in the metrics of the run.

    Args:
        training: Number of training samples of each class.
        head_fraction: Fraction of the classes that form the head.
        tail_fraction: Fraction of the classes that form the tail.
    """
    import torch

    from modules.evaluation.tail_metrics import head_middle_tail

    groups: list[Group] = ["middle"] * len(training)
    for group, codes in head_middle_tail(torch.tensor(training), head_fraction, tail_fraction).items():
        for code in codes:
            groups[code] = group
    return tuple(groups)


def recall_per_class(codes: NDArray[Any], predicted: NDArray[Any], num_classes: int) -> NDArray[Any]:
    """Recall of each class, float64 (C,); NaN for a class without samples.

    Args:
        codes: int (n,), class codes of the samples.
        predicted: int (n,), predicted class codes.
        num_classes: Number of classes C.
    """
    support = numpy.bincount(codes, minlength=num_classes)
    hits = numpy.bincount(codes[codes == predicted], minlength=num_classes)
    return share(hits, support)


def imbalance_ratio(training: NDArray[Any]) -> float:
    """Size of the largest class divided by that of the smallest class with samples."""
    present = training[training > 0]
    return float(present.max() / present.min())


def easy_tail_classes(scores: ClassScores) -> list[int]:
    """Tail classes whose recall is above 0 and at least the mean recall of the head, the rarest first."""
    level = scores.group_recall("head")
    found = [code for code in scores.members("tail").tolist() if 0 < scores.recall[code] >= level]
    return sorted(found, key=lambda code: (scores.training[code], -scores.recall[code]))


def hard_head_classes(scores: ClassScores) -> list[int]:
    """Head classes whose recall is below 1 and at most the mean recall of the tail, the lowest recall first."""
    level = scores.group_recall("tail")
    found = [code for code in scores.members("head").tolist() if 1 > scores.recall[code] <= level]
    return sorted(found, key=lambda code: (scores.recall[code], -scores.training[code]))


@dataclass(frozen=True)
class ReliabilityBin:
    """Predictions of similar confidence.

    Attributes:
        confidence: Mean confidence.
        correct: Fraction of correct predictions.
        samples: Number of predictions.
    """

    confidence: float
    correct: float
    samples: int


def reliability(
    confidence: NDArray[Any], correct: NDArray[Any], weights: NDArray[Any], num_bins: int = 10
) -> list[ReliabilityBin]:
    """Group predictions into bins of confidence of equal width.

    Args:
        confidence: (n,), probabilities of the predicted classes, in [0, 1].
        correct: bool (n,), whether the prediction is correct.
        weights: (n,), number of samples of the split that each prediction represents.
        num_bins: Number of bins; empty ones are left out.
    """
    places = numpy.clip((confidence * num_bins).astype(int), 0, num_bins - 1)
    bins = []
    for number in range(num_bins):
        own = places == number
        if own.any():
            stated, right = (float(numpy.average(one[own], weights=weights[own])) for one in (confidence, correct))
            bins.append(ReliabilityBin(stated, right, int(own.sum())))
    return bins


def reliability_by_group(
    confidence: NDArray[Any],
    codes: NDArray[Any],
    predicted: NDArray[Any],
    weights: NDArray[Any],
    groups: Sequence[Group],
) -> Mapping[str, list[ReliabilityBin]]:
    """`reliability` of all predictions, and of the predictions of each group's classes.

    Args:
        confidence: (n,), probabilities of the predicted classes.
        codes: int (n,), class codes.
        predicted: int (n,), predicted class codes.
        weights: (n,), number of samples of the split that each prediction represents.
        groups: Group of each class.

    Returns:
        Bins by group, and those of all predictions as `all`.
    """
    kinds = numpy.array(groups)[predicted]
    masks: dict[str, NDArray[Any]] = {"all": numpy.ones(len(codes), dtype=bool)}
    masks.update({group: kinds == group for group in GROUPS})
    right = predicted == codes
    return {name: reliability(confidence[own], right[own], weights[own]) for name, own in masks.items()}


def _mean(values: NDArray[Any]) -> float:
    known = values[~numpy.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")
