"""Thresholds of prediction sets, one for each class."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from modules.decisions.samples import even_folds

STRENGTHS = tuple(step / 8 for step in range(17))
"""Strengths of the prevalence adjustment to try, ascending."""
PRIOR_SAMPLES = 30
"""Number of samples of all classes that each class's own quantile is averaged with."""
_FOLDS = 10


def choose_thresholds(values: Tensor, labels: Tensor, priors: Tensor, coverage: float) -> tuple[float, Tensor]:
    """Choose thresholds that a share of the samples reaches, also of rare classes.

    The threshold of class c is ``t_c + strength * prior_c``:

    - ``strength * prior_c`` adjusts for prevalence (Ding et al., 2025, arXiv 2507.06867). The strength is the smallest
      with which the mean coverage of the classes reaches `coverage` too, and at most half as many classes as without
      adjustment are covered for less than half of it.
    - ``t_c`` is the quantile of the class, as far as its samples carry one: averaged with that of all samples as if
      those were `PRIOR_SAMPLES`, and that of all samples if the class has too few for a quantile.
    - One shift of all thresholds makes the coverage of all samples right. It is chosen on thresholds that were made
      without the value that they are compared with, by folds, and never leaves out more of the samples than it
      should of thresholds that were made with them: of few samples, quantiles without a fold can be lower ones.

    Args:
        values: How probable the label of each sample is to the model, as logarithm, fp32 (N,).
        labels: Labels, int64 (N,).
        priors: How frequent each class is, as logarithm, fp32 (C,).
        coverage: Share of the samples whose value must reach the threshold of their class.

    Returns:
        The strength, and the thresholds, fp32 (C,); minus infinity for too few samples.
    """
    if len(values) < 2:
        return 0.0, torch.full_like(priors, -math.inf)
    folds = even_folds(labels, _FOLDS)
    found = []
    for strength in STRENGTHS:
        adjusted = values - strength * priors[labels]
        of_classes, covered = _shifted_thresholds(adjusted, labels, len(priors), folds, coverage)
        missed, mean = int((covered < coverage / 2).sum()), float(covered.mean())
        found.append((missed, -mean, strength, of_classes + strength * priors))
        if mean >= coverage and missed <= found[0][0] / 2:
            break
    else:
        found.sort(key=lambda one: one[:3])
        found = found[:1]
    *_, strength, thresholds = found[-1]
    return strength, thresholds


def _places(sizes: Tensor, coverage: float) -> Tensor:
    """How many of the smallest of so many values, int64, are not above their lower quantile."""
    # 10 * (1 - 0.9) is slightly below 1.
    return ((sizes + 1).double() * (1 - coverage) + 1e-9).floor().long()


def lower_quantile(values: Tensor, coverage: float) -> float:
    """The largest threshold that a new value reaches with at least this probability; minus infinity for few values."""
    place = int(_places(torch.tensor(len(values)), coverage))
    return float(values.sort().values[place - 1]) if place >= 1 else -math.inf


def _class_thresholds(values: Tensor, labels: Tensor, num_classes: int, coverage: float) -> Tensor:
    """The quantile of each class, (C,), averaged with that of all values; that of all where a class has too few."""
    everyone = lower_quantile(values, coverage)
    order = values.argsort()
    by_class = values[order][labels[order].argsort(stable=True)]
    sizes = torch.bincount(labels, minlength=num_classes)
    places = _places(sizes, coverage)
    own = by_class[(sizes.cumsum(0) - sizes + places - 1).clamp(0, len(values) - 1)]
    averaged = (sizes * own + PRIOR_SAMPLES * everyone) / (sizes + PRIOR_SAMPLES)
    return torch.where(places >= 1, averaged, everyone)


def _shifted_thresholds(
    values: Tensor, labels: Tensor, num_classes: int, folds: Tensor, coverage: float
) -> tuple[Tensor, Tensor]:
    """Thresholds of the classes, (C,), shifted to cover the samples rightly; coverage of the classes with samples."""
    beyond = torch.empty_like(values)
    for fold in range(_FOLDS):
        held = folds == fold
        others = _class_thresholds(values[~held], labels[~held], num_classes, coverage)
        beyond[held] = values[held] - others[labels[held]]
    of_all = _class_thresholds(values, labels, num_classes, coverage)
    shift = min(lower_quantile(beyond, coverage), lower_quantile(values - of_all[labels], coverage))
    covered = (beyond >= shift).float()
    sizes = torch.bincount(labels, minlength=num_classes)
    of_classes = torch.zeros(num_classes).index_add_(0, labels, covered)[sizes > 0] / sizes[sizes > 0]
    thresholds = of_all + shift
    # Without any quantile, nothing is left out: minus infinity minus itself is not a number.
    return thresholds.nan_to_num(nan=-math.inf, posinf=-math.inf, neginf=-math.inf), of_classes
