"""Calibration of the probabilities of several labels."""

from __future__ import annotations

import math

import numpy
import torch
from torch import Tensor
from torch.nn import functional

from modules.evaluation.calibration import LARGEST_TEMPERATURE, TemperatureScaling, temperature_cost

_SMALLEST = 1e-7
_LARGEST = math.log1p(-_SMALLEST) - math.log(_SMALLEST)


class LabelCalibration(TemperatureScaling):
    """Platt scaling ``sigmoid(logit(p) / T + b)``, with the same T and b for all labels (Platt, 1999).

    A loss that weighs positive and negative entries differently shifts all probabilities, which a temperature alone
    cannot mend.

    Attributes:
        shift: Shift b, fp32 scalar; 0 before it is fitted.
    """

    shift: Tensor

    def __init__(self, class_counts: Tensor) -> None:
        """Create the identity.

        Args:
            class_counts: Training samples that have each label, (L,).
        """
        super().__init__(class_counts)
        self.register_buffer("shift", torch.zeros(()))

    def forward(self, probabilities: Tensor) -> Tensor:
        """Calibrate probabilities, fp32 (B, L); labels without training samples keep probability 0."""
        return self.of_logits(label_logits(probabilities))

    def of_logits(self, logits: Tensor) -> Tensor:
        """Calibrated probabilities, fp32 (B, L), from log odds, floating point (B, L), which are bounded as in the fit.

        Labels without training samples have probability 0.
        """
        bounded = logits.float().clamp(-_LARGEST, _LARGEST)
        return torch.sigmoid(bounded / self.temperature + self.shift).masked_fill(~self.seen, 0)

    @torch.no_grad()
    def fit(self, probabilities: Tensor, labels: Tensor) -> None:
        """Fit both numbers by minimizing the summed log loss of the known entries, `temperature_cost` and b² / 2.

        Without the last two, few samples that are told apart without an error would make all probabilities 0 and 1.
        Both numbers are those of the identity if no others are better.

        Args:
            probabilities: Probabilities of validation samples, fp32 (N, L).
            labels: Labels, see `label_scores`, integers (N, L).
        """
        from scipy.optimize import minimize

        known = (labels >= 0) & self.seen
        logits = label_logits(probabilities)[known].double().cpu().numpy()
        positive = (labels[known] == 1).double().cpu().numpy()
        self.temperature.fill_(1.0)
        self.shift.fill_(0.0)
        if not len(logits):
            return

        def loss(numbers: numpy.ndarray[tuple[int], numpy.dtype[numpy.float64]]) -> tuple[float, list[float]]:
            log_temperature, shift = numbers
            scaled = logits * math.exp(-log_temperature)
            scores = scaled + shift
            errors = 1 / (1 + numpy.exp(-scores.clip(-500, 500))) - positive
            losses = numpy.logaddexp(0, scores) - positive * scores
            cost, slope = temperature_cost(log_temperature)
            slopes = [slope - float((errors * scaled).sum()), shift + float(errors.sum())]
            return float(losses.sum()) + cost + shift**2 / 2, slopes

        bound = math.log(LARGEST_TEMPERATURE)
        found = minimize(loss, numpy.zeros(2), jac=True, method="L-BFGS-B", bounds=[(-bound, bound), (None, None)])
        if found.fun < loss(numpy.zeros(2))[0]:
            self.temperature.fill_(math.exp(found.x[0]))
            self.shift.fill_(float(found.x[1]))


def label_logits(probabilities: Tensor) -> Tensor:
    """Log odds of probabilities, finite for 0 and 1.

    Args:
        probabilities: Probabilities, fp32 (N, L).
    """
    return torch.logit(probabilities.float(), eps=_SMALLEST)


def log_loss(probabilities: Tensor, labels: Tensor) -> Tensor:
    """Mean log loss of the known entries, fp32; NaN if there are none.

    Args:
        probabilities: Probabilities, fp32 (N, L).
        labels: Labels, see `label_scores`, integers (N, L).
    """
    known = labels >= 0
    return functional.binary_cross_entropy_with_logits(label_logits(probabilities)[known], (labels[known] == 1).float())
