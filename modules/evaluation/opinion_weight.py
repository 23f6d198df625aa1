"""How much a second opinion counts beside the logits."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from modules.evaluation.calibration import LARGEST_TEMPERATURE, temperature_cost

WEIGHTS = (0.0, 0.25, 0.5, 1.0, 2.0)
"""The weights to choose from."""

_BOUND = math.log(LARGEST_TEMPERATURE)
# Wide, since each weight has a temperature of its own, and the choice between them should not depend on its size.
_SPREAD = 1.0


def best_weight(scores: Tensor, opinions: Tensor, labels: Tensor) -> tuple[float, float]:
    """Choose the weight w of the smallest class-balanced log loss of ``softmax((scores + w opinions) / T)``.

    The loss is the mean over classes of the mean negative log-likelihood of their samples, at the temperature T that is
    best for the weight. `temperature_cost` is added, without which few samples that are all told apart would make T 0;
    beside it, the loss counts as often as the number of equal samples of the same variance (Kish, 1965).

    Args:
        scores: Scores without the prior of the classes, fp32 (n, C), of samples that training did not see.
        opinions: Opinions on the same samples, fp32 (n, C).
        labels: Labels, int64 (n,).

    Returns:
        One of `WEIGHTS`, the smaller one of equal ones, and its temperature; 0 and 1 without samples.
    """
    from scipy.optimize import minimize_scalar

    if not len(labels):
        return 0.0, 1.0
    share = 1 / torch.bincount(labels)[labels].double()
    share = share / share.sum()
    samples = 1 / float(share.square().sum())

    def found(weight: float) -> tuple[float, float]:
        """Smallest loss of a weight, and the logarithm of its temperature."""
        mixed = scores + weight * opinions

        def at(log_temperature: float) -> float:
            each = functional.cross_entropy(mixed / math.exp(log_temperature), labels, reduction="none")
            return samples * float((share * each.double()).sum()) + temperature_cost(log_temperature, _SPREAD)[0]

        best = minimize_scalar(at, bounds=(-_BOUND, _BOUND), method="bounded")
        return float(best.fun), float(best.x)

    (_, log_temperature), weight = min(((found(weight), weight) for weight in WEIGHTS), key=lambda each: each[0][0])
    return weight, math.exp(log_temperature)
