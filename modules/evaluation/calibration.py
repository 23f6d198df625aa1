"""Calibration of probabilities by temperature scaling."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchmetrics import Metric

LARGEST_TEMPERATURE = 100.0
"""Largest temperature of the search interval, whose lower end is its reciprocal."""

SPREAD = 0.3
"""Standard deviation of the logarithm of a temperature of probabilities before samples are seen."""


def temperature_cost(log_temperature: float, spread: float = SPREAD) -> tuple[float, float]:
    """What a temperature other than 1 costs beside the summed log losses of samples, 0 or more, in nats.

    It is minus the logarithm of a normal density of log T with mean 0, up to a constant. Samples that are all told
    apart have ever smaller losses as T falls, so that without it the probabilities of all others would become 0 and 1,
    those of wrong labels too. A hundred samples outweigh it (docs/predict.md).

    Args:
        log_temperature: Logarithm of the temperature T.
        spread: Standard deviation of the density.

    Returns:
        The cost, and its derivative by log T.
    """
    slope = log_temperature / spread**2
    return slope * log_temperature / 2, slope


class TemperatureScaling(nn.Module):
    """Temperature scaling ``softmax(log p / T)`` (Guo et al., 2017, arXiv 1706.04599).

    For ``p = softmax(z)`` it equals ``softmax(z / T)``, but it is defined for probabilities of any origin. It preserves
    the ranking of the classes, and classes without training samples keep probability 0.

    Attributes:
        temperature: Temperature T, fp32 scalar; 1 before it is fitted.
        seen: Which classes have training samples, bool (C,).
    """

    temperature: Tensor
    seen: Tensor

    def __init__(self, class_counts: Tensor) -> None:
        """Create a scaling with temperature 1, the identity.

        Args:
            class_counts: Training samples of each class, (C,).
        """
        super().__init__()
        self.register_buffer("temperature", torch.ones(()))
        self.register_buffer("seen", class_counts > 0, persistent=False)

    def forward(self, probabilities: Tensor) -> Tensor:
        """Calibrate probabilities.

        Args:
            probabilities: Probabilities, fp32 (B, C).

        Returns:
            Calibrated probabilities, fp32 (B, C).
        """
        return (self.scores(probabilities) / self.temperature).softmax(dim=1)

    @torch.no_grad()
    def fit(self, probabilities: Tensor, labels: Tensor) -> None:
        """Fit the temperature by minimizing the summed negative log-likelihood and `temperature_cost`.

        The temperature is 1 if no other one is better.

        Args:
            probabilities: Probabilities of validation samples, fp32 (N, C).
            labels: Labels, int64 (N,). Samples of classes without training samples are ignored.
        """
        from scipy.optimize import minimize_scalar

        usable = self.seen[labels]
        scores, labels = self.scores(probabilities[usable]), labels[usable]
        self.temperature.fill_(1.0)
        if len(labels) == 0:
            return

        def loss(log_temperature: float) -> float:
            losses = functional.cross_entropy(scores / math.exp(log_temperature), labels, reduction="none")
            return float(losses.cpu().double().sum()) + temperature_cost(log_temperature)[0]

        bound = math.log(LARGEST_TEMPERATURE)
        found = minimize_scalar(loss, bounds=(-bound, bound), method="bounded", options={"xatol": 1e-4})
        if found.fun < loss(0.0):
            self.temperature.fill_(math.exp(found.x))

    def scores(self, probabilities: Tensor) -> Tensor:
        """Compute log probabilities.

        Args:
            probabilities: Probabilities, fp32 (B, C).

        Returns:
            fp32 (B, C); minus infinity for classes without training samples.
        """
        # A probability that underflows in fp32 must keep a finite logarithm.
        scores = probabilities.clamp(min=torch.finfo(torch.float32).tiny).log()
        return scores.masked_fill(~self.seen, -torch.inf)


class LogLosses(Metric):
    """Mean negative log-likelihood before (`nll`) and after (`calibrated_nll`) temperature scaling.

    Samples of classes without training samples are ignored; NaN if there are no other samples.
    """

    is_differentiable = False
    higher_is_better = False
    full_state_update = False

    totals: Tensor
    samples: Tensor

    def __init__(self) -> None:
        """Create the metric without samples."""
        super().__init__()
        self.add_state("totals", torch.zeros(2), dist_reduce_fx="sum")
        self.add_state("samples", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, probabilities: Tensor, labels: Tensor, scaling: TemperatureScaling) -> None:
        """Add a batch.

        Args:
            probabilities: Probabilities before calibration, fp32 (B, C).
            labels: Labels, int64 (B,).
            scaling: Temperature scaling.
        """
        usable = scaling.seen[labels]
        scores, labels = scaling.scores(probabilities[usable]), labels[usable]
        both = (functional.cross_entropy(s, labels, reduction="none") for s in (scores, scores / scaling.temperature))
        self.totals += torch.stack([losses.sum() for losses in both])
        self.samples += len(labels)

    def compute(self) -> dict[str, Tensor]:
        """Compute both means."""
        before, after = self.totals / self.samples
        return {"nll": before, "calibrated_nll": after}
