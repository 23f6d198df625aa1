"""Calibration of probabilities by temperature scaling."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchmetrics import Metric

from modules.losses.classification.class_priors import log_priors

LARGEST_TEMPERATURE = 100.0
"""Largest temperature of the search interval, whose lower end is its reciprocal."""

SPREAD = 0.3
"""Standard deviation of the logarithm of a temperature, and of the strength of a prior, before samples are seen."""


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


def share_strength(labels: Tensor, class_counts: Tensor) -> float:
    """Find with which exponent the shares of classes among training samples are those among other samples.

    Samples of class c are expected with probabilities proportional to ``n_c ** s``, n_c being its training samples. It
    is 1 for samples that are drawn like them, and 0 where they were made long-tailed and the others were not. The
    most probable exponent is found; before samples are seen, s is normal with mean 1 and standard deviation `SPREAD`.

    Args:
        labels: Labels of the other samples, all of classes with training samples, int64 (N,).
        class_counts: Training samples of each class, (C,).

    Returns:
        s, in -3..4.
    """
    from scipy.optimize import minimize_scalar

    seen = class_counts > 0
    priors = log_priors(class_counts).double().cpu()
    total, possible = float(priors[labels.cpu()].sum()), priors[seen.cpu()]

    def cost(strength: float) -> float:
        likelihood = strength * total - len(labels) * float((strength * possible).logsumexp(dim=0))
        return ((strength - 1) / SPREAD) ** 2 / 2 - likelihood

    return float(minimize_scalar(cost, bounds=(-3.0, 4.0), method="bounded", options={"xatol": 1e-6}).x)


class TemperatureScaling(nn.Module):
    """Temperature scaling with a prior, ``softmax(log p / T + offset)``.

    Without an offset it is that of Guo et al. (2017, arXiv 1706.04599): for ``p = softmax(z)`` it equals
    ``softmax(z / T)``, but it is defined for probabilities of any origin. Classes without training samples keep
    probability 0.

    Attributes:
        temperature: Temperature T, fp32 scalar; 1 before it is fitted.
        offset: Offset of each class, fp32 (C,); 0 before it is fitted.
        seen: Which classes have training samples, bool (C,).
    """

    temperature: Tensor
    offset: Tensor
    seen: Tensor
    counts: Tensor

    def __init__(self, class_counts: Tensor) -> None:
        """Create the identity.

        Args:
            class_counts: Training samples of each class, (C,).
        """
        super().__init__()
        self.register_buffer("temperature", torch.ones(()))
        self.register_buffer("offset", torch.zeros(len(class_counts)))
        self.register_buffer("seen", class_counts > 0, persistent=False)
        self.register_buffer("counts", class_counts, persistent=False)

    def forward(self, probabilities: Tensor) -> Tensor:
        """Calibrate probabilities.

        Args:
            probabilities: Probabilities, fp32 (B, C).

        Returns:
            Calibrated probabilities, fp32 (B, C).
        """
        return self.scaled(probabilities).softmax(dim=1)

    @torch.no_grad()
    def fit(self, probabilities: Tensor, labels: Tensor) -> None:
        """Fit the temperature by minimizing the summed negative log-likelihood and `temperature_cost`.

        The temperature is 1 if no other one is better. There is no offset.

        Args:
            probabilities: Probabilities of validation samples, fp32 (N, C).
            labels: Labels, int64 (N,). Samples of classes without training samples are ignored.
        """
        self.offset.zero_()
        self._fit_temperature(self.scores(probabilities), labels)

    @torch.no_grad()
    def fit_with_prior(self, probabilities: Tensor, labels: Tensor, contained: Tensor) -> None:
        """Fit the temperature of what samples say of themselves, beside the frequencies of the classes.

        The logarithms of probabilities, without what they contain, are divided by the temperature. What the classes
        are expected to be is added to them afterwards: ``s log(n_c / N)``, with the training samples n_c. The strength
        s is 1 unless the validation samples are shared by the classes otherwise, see `share_strength`. A temperature
        of probabilities from which training has removed the frequencies could not put them back.

        Args:
            probabilities: Probabilities of validation samples, fp32 (N, C).
            labels: Labels, int64 (N,). Samples of classes without training samples are ignored.
            contained: What their logarithms contain of each class whatever the sample is, fp32 (C,).
        """
        expected = share_strength(labels[self.seen[labels]], self.counts) * log_priors(self.counts)
        self.offset.copy_(expected)
        self._fit_temperature(self.scores(probabilities) - contained, labels)
        self.offset.copy_(expected - contained / self.temperature)

    def _fit_temperature(self, scores: Tensor, labels: Tensor) -> None:
        from scipy.optimize import minimize_scalar

        usable = self.seen[labels]
        scores, labels = scores[usable], labels[usable]
        self.temperature.fill_(1.0)
        if len(labels) == 0:
            return

        def loss(log_temperature: float) -> float:
            scaled = scores / math.exp(log_temperature) + self.offset
            losses = functional.cross_entropy(scaled, labels, reduction="none")
            return float(losses.cpu().double().sum()) + temperature_cost(log_temperature)[0]

        bound = math.log(LARGEST_TEMPERATURE)
        found = minimize_scalar(loss, bounds=(-bound, bound), method="bounded", options={"xatol": 1e-4})
        if found.fun < loss(0.0):
            self.temperature.fill_(math.exp(found.x))

    def scaled(self, probabilities: Tensor) -> Tensor:
        """Compute scores whose softmax is the calibrated probabilities.

        Args:
            probabilities: Probabilities, fp32 (B, C).

        Returns:
            fp32 (B, C); minus infinity for classes without training samples.
        """
        return self.scores(probabilities) / self.temperature + self.offset

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
        scaled = scaling.scaled(probabilities[usable])
        both = (functional.cross_entropy(one, labels, reduction="none") for one in (scores, scaled))
        self.totals += torch.stack([losses.sum() for losses in both])
        self.samples += len(labels)

    def compute(self) -> dict[str, Tensor]:
        """Compute both means."""
        before, after = self.totals / self.samples
        return {"nll": before, "calibrated_nll": after}
