"""The decision of the peers: a strength on the prior, chosen on validation samples as that of our models is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from modules.evaluation.tail_metrics import TailMetrics

HEAD_SLACK = 0.01
"""Accuracy of the head classes that may be lost where the head is to be kept."""

_STEPS = 20
_STEPS_TO_1 = 10
_SMALLEST_PROBABILITY = 1e-12
_ROUNDING = 1e-6


@dataclass(frozen=True)
class Choice:
    """Strengths that are best on the validation samples.

    Attributes:
        balanced: The one of the highest balanced accuracy. Of equally good ones, which are common where classes have
            few samples, the one nearest to 1, that is to no influence of the prior.
        head_kept: The same among those whose head accuracy is at most a point below the reference, or below the
            highest that a strength gives if that is lower.
    """

    balanced: float
    head_kept: float


def strengths(prior_removed: float) -> tuple[float, ...]:
    """The strengths on the prior to choose from, ascending: 0 is at the prior of the training samples, 1 without it.

    Args:
        prior_removed: Strength with which training has removed the prior from the probabilities: 1 for a classifier
            with balanced class weights, else 0. As on all probabilities, up to 2 more may be chosen.
    """
    steps = _STEPS + round(_STEPS_TO_1 * prior_removed)
    return tuple(step / _STEPS_TO_1 for step in range(steps + 1))


def corrected(probabilities: Tensor, class_counts: Tensor, strength: float) -> Tensor:
    """Scores ``log p - strength * log prior``, float64 (N, C); minus infinity for classes without training samples.

    This is the post-hoc logit adjustment of Menon et al. (2021, arXiv 2007.07314).

    Args:
        probabilities: Class probabilities, (N, C); 0 counts as 1e-12.
        class_counts: Training samples of each class, int64 (C,).
        strength: Strength on the prior; below 0 the frequent classes are favored.
    """
    logs = probabilities.double().clamp(min=_SMALLEST_PROBABILITY).log()
    priors = (class_counts.double() / class_counts.sum()).clamp(min=_SMALLEST_PROBABILITY).log()
    return (logs - strength * priors).masked_fill(class_counts == 0, -torch.inf)


def accuracies(scores: Tensor, labels: Tensor, class_counts: Tensor) -> dict[str, float]:
    """The metrics of `TailMetrics` that the largest scores alone decide.

    Args:
        scores: (N, C).
        labels: int64 (N,); samples of classes without training samples are left out.
        class_counts: Training samples of each class, int64 (C,).
    """
    known = class_counts[labels] > 0
    metrics = TailMetrics(class_counts, ranking=False)
    metrics.update(one_hot(scores[known].argmax(dim=1), len(class_counts)).float(), labels[known])
    return _scalars(metrics)


def ranking(probabilities: Tensor, labels: Tensor, class_counts: Tensor) -> dict[str, float]:
    """AUROC, average precision and calibration error of the probabilities, see `TailMetrics`.

    Args:
        probabilities: (N, C).
        labels: int64 (N,); samples of classes without training samples are left out.
        class_counts: Training samples of each class, int64 (C,).
    """
    known = class_counts[labels] > 0
    metrics = TailMetrics(class_counts)
    metrics.update(probabilities[known], labels[known])
    return {name: _scalars(metrics)[name] for name in ("auroc", "average_precision", "calibration_error")}


def choose(
    probabilities: Tensor, labels: Tensor, class_counts: Tensor, prior_removed: float, head_reference: float
) -> Choice:
    """Choose strengths on the validation samples.

    Args:
        probabilities: Class probabilities of the validation samples, (N, C).
        labels: Labels, int64 (N,).
        class_counts: Training samples of each class, int64 (C,).
        prior_removed: See `strengths`; the strengths of the choice include it.
        head_reference: Head accuracy on the validation samples, 0..1, of the classifier without class weights.
    """
    found = {
        strength: accuracies(corrected(probabilities, class_counts, strength - prior_removed), labels, class_counts)
        for strength in strengths(prior_removed)
    }
    heads = {strength: own["head_accuracy"] for strength, own in found.items()}
    # Without head classes among the samples, the accuracies are NaN and everything keeps the head.
    least = min(head_reference, max(heads.values())) - HEAD_SLACK - _ROUNDING
    kept = {strength: own for strength, own in found.items() if not heads[strength] < least}
    return Choice(_best(found), _best(kept))


def _best(found: Mapping[float, Mapping[str, float]]) -> float:
    return max(found, key=lambda strength: (found[strength]["balanced_accuracy"], -abs(strength - 1)))


def _scalars(metrics: TailMetrics) -> dict[str, float]:
    return {name: float(value) for name, value in metrics.compute().items() if value.ndim == 0}
