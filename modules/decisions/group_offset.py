"""The smallest offset of a group of classes with which their recall is high enough."""

from __future__ import annotations

import torch
from torch import Tensor

from modules.decisions.samples import DecisionSamples

_STEPS = 200


def smallest_group_offset(
    samples: DecisionSamples,
    base: Tensor,
    group: tuple[int, ...],
    least: float,
    compared: Tensor | None = None,
) -> tuple[Tensor, bool]:
    """Find the smallest offset of all classes of a group with which their mean recall is high enough.

    High enough means by one standard error, so that new samples keep to it in about five of six cases. Without
    `compared`, the variance of the recall of a class is that of its samples and two more, one of them predicted
    correctly (Laplace's rule), as the variance of few samples that are all right would be 0. An offset of the
    group leaves the order of its classes, so each sample has a threshold from which on it is predicted as its best
    class of the group.

    Args:
        samples: The samples.
        base: Offset of each class to add to, (C,).
        group: The classes.
        least: Smallest mean recall; with `compared`, the smallest difference from the mean recall of those.
        compared: Whether each sample is predicted correctly by the decision to compare with, bool (N,).

    Returns:
        Offset of each class, fp32 (C,), and whether it is enough; else the one with the highest recall.
    """
    member = torch.zeros(len(samples.counts), dtype=torch.bool)
    member[list(group)] = True
    own = member[samples.labels]
    labels = samples.labels[own]
    if not len(labels):
        return base, False
    scores = samples.scores[own] + base
    inside, best = scores.masked_fill(~member, -torch.inf).max(dim=1)
    outside = scores.masked_fill(member, -torch.inf).max(dim=1).values
    thresholds = torch.where(best == labels, outside - inside, torch.inf)
    reference = torch.zeros(len(labels)) if compared is None else compared[own].double()
    for offset in _offsets(thresholds):
        hits = (thresholds < offset).double()
        if _is_enough(hits - reference, labels, least, pseudo_samples=2 if compared is None else 0):
            return base + offset * member, True
    return base + offset * member, False


def _offsets(thresholds: Tensor) -> list[float]:
    """Offsets to try: none, and a little more than quantiles of the positive thresholds."""
    positive = thresholds[(thresholds >= 0) & thresholds.isfinite()].sort().values
    if not len(positive):
        return [0.0]
    places = torch.linspace(0, len(positive) - 1, min(_STEPS, len(positive)), dtype=torch.float64).round().long()
    return [0.0, *((positive[places] * 1.0001 + 1e-4).tolist())]


def _is_enough(gains: Tensor, labels: Tensor, least: float, pseudo_samples: int) -> bool:
    """Whether the mean over classes of the mean gain of their samples is at least `least`, by one standard error.

    Half of the pseudo-samples, which only the variances take, have gain 1, the others 0.
    """
    number = torch.bincount(labels).double()
    present = number > 0
    sums = torch.bincount(labels, weights=gains)[present]
    squares = torch.bincount(labels, weights=gains.square())[present]
    means = sums / number[present]
    many = number[present] + pseudo_samples
    spread = (squares + pseudo_samples / 2) / many - ((sums + pseudo_samples / 2) / many).square()
    variances = spread.clamp(min=0) / number[present]
    classes = len(means)
    return float(means.mean()) - float(variances.sum().sqrt()) / classes >= least - 1e-12
