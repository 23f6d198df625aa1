"""Temperature scaling: one number that makes probabilities as sure as they are right."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchmetrics import Metric

LARGEST_TEMPERATURE = 100.0
"""Temperatures are sought from its reciprocal up to it."""


class TemperatureScaling(nn.Module):
    """``softmax(log p / T)`` (Guo et al., 2017, arXiv 1706.04599), T fitted by the negative log-likelihood.

    With ``p = softmax(z)`` this is ``softmax(z / T)``; it is defined for probabilities of any origin. The order of the
    classes does not change, and a class without training samples keeps probability 0.

    Attributes:
        temperature: T, fp32 scalar; 1 before it is fitted.
    """

    temperature: Tensor
    seen: Tensor

    def __init__(self, class_counts: Tensor) -> None:
        """Start at temperature 1, which changes nothing.

        Args:
            class_counts: Training samples of each class, (C,).
        """
        super().__init__()
        self.register_buffer("temperature", torch.ones(()))
        self.register_buffer("seen", class_counts > 0, persistent=False)

    def forward(self, probabilities: Tensor) -> Tensor:
        """Calibrate probabilities.

        Args:
            probabilities: fp32 (B, C).

        Returns:
            fp32 (B, C).
        """
        return (self.scores(probabilities) / self.temperature).softmax(dim=1)

    @torch.no_grad()
    def fit(self, probabilities: Tensor, labels: Tensor) -> None:
        """Choose the temperature of the least mean negative log-likelihood, which is convex in its reciprocal.

        It is 1 where no other does better, so that the likelihood of these samples never falls.

        Args:
            probabilities: fp32 (N, C), of samples that the model was not trained on.
            labels: int64 (N,). Samples of classes without training samples are left out.
        """
        from scipy.optimize import minimize_scalar

        usable = self.seen[labels]
        scores, labels = self.scores(probabilities[usable]), labels[usable]
        self.temperature.fill_(1.0)
        if len(labels) == 0:
            return

        def loss(log_temperature: float) -> float:
            losses = functional.cross_entropy(scores / math.exp(log_temperature), labels, reduction="none")
            return float(losses.cpu().double().mean())

        bound = math.log(LARGEST_TEMPERATURE)
        found = minimize_scalar(loss, bounds=(-bound, bound), method="bounded", options={"xatol": 1e-4})
        if found.fun < loss(0.0):
            self.temperature.fill_(math.exp(found.x))

    def scores(self, probabilities: Tensor) -> Tensor:
        """Logarithms of probabilities, fp32 (B, C), minus infinity for classes without training samples.

        Args:
            probabilities: fp32 (B, C).
        """
        # A probability too small for fp32 is the least there is, not none.
        scores = probabilities.clamp(min=torch.finfo(torch.float32).tiny).log()
        return scores.masked_fill(~self.seen, -torch.inf)


class LogLosses(Metric):
    """Mean negative log-likelihood before (`nll`) and after (`calibrated_nll`) temperature scaling.

    Samples of classes without training samples are left out; NaN where there are no others.
    """

    is_differentiable = False
    higher_is_better = False
    full_state_update = False

    totals: Tensor
    samples: Tensor

    def __init__(self) -> None:
        """Start at nothing."""
        super().__init__()
        self.add_state("totals", torch.zeros(2), dist_reduce_fx="sum")
        self.add_state("samples", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, probabilities: Tensor, labels: Tensor, scaling: TemperatureScaling) -> None:
        """Count a batch.

        Args:
            probabilities: fp32 (B, C), before calibration.
            labels: int64 (B,).
            scaling: The calibration.
        """
        usable = scaling.seen[labels]
        scores, labels = scaling.scores(probabilities[usable]), labels[usable]
        both = (functional.cross_entropy(s, labels, reduction="none") for s in (scores, scores / scaling.temperature))
        self.totals += torch.stack([losses.sum() for losses in both])
        self.samples += len(labels)

    def compute(self) -> dict[str, Tensor]:
        """Both means."""
        before, after = self.totals / self.samples
        return {"nll": before, "calibrated_nll": after}
