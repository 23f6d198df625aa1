"""How well each class, and the whole, is recognised, from the predictions of test samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy
from numpy.typing import NDArray

Group = Literal["head", "middle", "tail"]
GROUPS: tuple[Group, ...] = ("head", "middle", "tail")


@dataclass(frozen=True)
class ClassScores:
    """What is known of C classes.

    Attributes:
        names: C labels.
        training: int64 (C,), training samples.
        test: int64 (C,), samples of the test split.
        recall: float64 (C,), share of the class's test samples that are predicted as it; NaN without any.
        groups: C groups by training count.
    """

    names: tuple[str, ...]
    training: NDArray[Any]
    test: NDArray[Any]
    recall: NDArray[Any]
    groups: tuple[Group, ...]

    def members(self, group: Group) -> NDArray[Any]:
        """Codes of a group's classes, ascending."""
        codes: NDArray[Any] = numpy.flatnonzero(numpy.array(self.groups) == group)
        return codes

    def group_recall(self, group: Group) -> float:
        """Mean recall of a group's classes that have test samples; NaN without any."""
        return _mean(self.recall[self.members(group)])


def class_groups(training: Sequence[int], head_fraction: float, tail_fraction: float) -> tuple[Group, ...]:
    """Head, middle or tail of each class, as the run's metrics have them.

    Args:
        training: C training counts.
        head_fraction: Share of the classes in the head.
        tail_fraction: Share of the classes in the tail.
    """
    import torch

    from modules.evaluation.tail_metrics import head_middle_tail

    groups: list[Group] = ["middle"] * len(training)
    for group, codes in head_middle_tail(torch.tensor(training), head_fraction, tail_fraction).items():
        for code in codes:
            groups[code] = group
    return tuple(groups)


def recall_per_class(codes: NDArray[Any], predicted: NDArray[Any], num_classes: int) -> NDArray[Any]:
    """Recall, float64 (C,), NaN for a class without samples, of n classes and predictions, both int (n,)."""
    support = numpy.bincount(codes, minlength=num_classes)
    hits = numpy.bincount(codes[codes == predicted], minlength=num_classes)
    return numpy.where(support > 0, hits / numpy.maximum(support, 1), numpy.nan)


def summary_metrics(scores: ClassScores) -> dict[str, float]:
    """Accuracies by name; samples of a thinned split count as many as there are of their class."""
    known = ~numpy.isnan(scores.recall)
    accuracy = numpy.average(scores.recall[known], weights=scores.test[known]) if known.any() else float("nan")
    groups = {f"{group}_accuracy": scores.group_recall(group) for group in GROUPS}
    return {"balanced_accuracy": _mean(scores.recall), "accuracy": float(accuracy), **groups}


def imbalance_ratio(training: NDArray[Any]) -> float:
    """Largest training count over the smallest of the classes that have samples."""
    present = training[training > 0]
    return float(present.max() / present.min())


def easy_tail_classes(scores: ClassScores) -> list[int]:
    """Tail classes recognised at least as well as the head is on average, the rarest first."""
    level = scores.group_recall("head")
    found = [code for code in scores.members("tail").tolist() if scores.recall[code] >= level]
    return sorted(found, key=lambda code: (scores.training[code], -scores.recall[code]))


def hard_head_classes(scores: ClassScores) -> list[int]:
    """Head classes recognised no better than the tail is on average, the worst first."""
    level = scores.group_recall("tail")
    found = [code for code in scores.members("head").tolist() if scores.recall[code] <= level]
    return sorted(found, key=lambda code: (scores.recall[code], -scores.training[code]))


@dataclass(frozen=True)
class ReliabilityBin:
    """Predictions of like confidence.

    Attributes:
        confidence: Their mean.
        correct: The share that is right.
        samples: How many they are.
    """

    confidence: float
    correct: float
    samples: int


def reliability(
    confidence: NDArray[Any], correct: NDArray[Any], weights: NDArray[Any], num_bins: int = 10
) -> list[ReliabilityBin]:
    """Sort predictions into bins of equal width.

    Args:
        confidence: (n,), largest probabilities, in [0, 1].
        correct: bool (n,).
        weights: (n,), how many samples of the split each stands for.
        num_bins: Number of bins; those without predictions are left out.
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
    """`reliability` of all predictions, and of those that name a class of each group.

    Args:
        confidence: (n,), largest probabilities.
        codes: int (n,), classes.
        predicted: int (n,).
        weights: (n,), how many samples of the split each stands for.
        groups: C groups.
    """
    kinds = numpy.array(groups)[predicted]
    masks: dict[str, NDArray[Any]] = {"all": numpy.ones(len(codes), dtype=bool)}
    masks.update({group: kinds == group for group in GROUPS})
    right = predicted == codes
    return {name: reliability(confidence[own], right[own], weights[own]) for name, own in masks.items()}


def _mean(values: NDArray[Any]) -> float:
    known = values[~numpy.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")
