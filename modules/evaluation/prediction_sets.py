"""Sets of labels that contain the true one with a chosen probability, also for rare classes."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor

from base.ranges import check_range
from modules.decisions.samples import DecisionSamples
from modules.evaluation.calibration import TemperatureScaling
from modules.evaluation.set_thresholds import choose_thresholds, lower_quantile
from modules.losses.classification.class_priors import log_priors


@dataclass(frozen=True)
class PredictionSets:
    """Conformal prediction sets: a label is in the set of a sample if its log-probability reaches a threshold.

    With a share `coverage` of the calibration samples in mind, plain conformal prediction (Vovk et al., 2005) has one
    threshold. It keeps its promise in the mean over samples and breaks it for rare classes, whose probabilities are
    low. Here each class has a threshold of its own, see `choose_thresholds`.

    Attributes:
        coverage: Share of samples whose set contains their label, in 0..1.
        scale: Scale of each class's logit, fp32 (C,).
        offset: What is added to scaled logits to get scores at the prior of the training samples, fp32 (C,).
        temperature: Temperature of these scores.
        thresholds: Lowest log-probability of each class in a set, fp32 (C,); infinite for a class without training
            samples.
        strength: Strength of the prevalence adjustment.
    """

    coverage: float
    scale: Tensor
    offset: Tensor
    temperature: float
    thresholds: Tensor
    strength: float

    @classmethod
    def fit(cls, samples: DecisionSamples, coverage: float) -> PredictionSets:
        """Choose the thresholds.

        Args:
            samples: Samples that the model was not trained on.
            coverage: Share of samples whose set must contain their label, above 0 and below 1. With fewer samples than
                ``coverage / (1 - coverage)``, every set holds all classes.

        Raises:
            InputError: If `coverage` is not in this range.
        """
        offset, temperature, own = _calibrate(samples, coverage)
        strength, thresholds = choose_thresholds(own, samples.labels, log_priors(samples.counts), coverage)
        thresholds = thresholds.masked_fill(samples.counts == 0, torch.inf)
        return cls(coverage, torch.ones_like(offset), offset, temperature, thresholds, strength)

    @classmethod
    def fit_plain(cls, samples: DecisionSamples, coverage: float) -> PredictionSets:
        """As `fit`, with the one threshold of plain conformal prediction.

        Args:
            samples: Samples that the model was not trained on.
            coverage: As of `fit`.
        """
        offset, temperature, own = _calibrate(samples, coverage)
        threshold = torch.full((len(samples.counts),), lower_quantile(own, coverage))
        threshold = threshold.masked_fill(samples.counts == 0, torch.inf)
        return cls(coverage, torch.ones_like(offset), offset, temperature, threshold, 0.0)

    def of_logits(self, scale: Tensor, offset: Tensor) -> Self:
        """The same sets for logits, of which ``scale_c * logit_c + offset_c`` are the scores of the samples of `fit`.

        Args:
            scale: Scale of each class, fp32 (C,).
            offset: Offset of each class, fp32 (C,).
        """
        return replace(self, scale=scale, offset=offset + self.offset.to(offset.device))

    def members(self, logits: Tensor) -> Tensor:
        """Which classes are in the set of each sample, bool (B, C).

        Args:
            logits: Logits, or scores as those of the samples of `fit`, (B, C).
        """
        return self.values(logits) >= self.thresholds.to(logits.device)

    def codes(self, logits: Tensor) -> list[list[int]]:
        """The classes in the set of each of B samples, the most probable first.

        Args:
            logits: As of `members`.
        """
        found = self.values(logits)
        members, order = found >= self.thresholds.to(found.device), found.argsort(dim=1, descending=True, stable=True)
        ordered = zip(order.tolist(), members.gather(1, order).tolist(), strict=True)
        return [[code for code, inside in zip(*row, strict=True) if inside] for row in ordered]

    def values(self, logits: Tensor) -> Tensor:
        """What is compared with the thresholds, the log-probabilities of the classes, fp32 (B, C).

        Args:
            logits: As of `members`.
        """
        scale, offset = self.scale.to(logits.device), self.offset.to(logits.device)
        return _log_probabilities(logits * scale, offset, self.temperature)


def check_coverage(coverage: float) -> None:
    """Check a coverage.

    Args:
        coverage: The value of the setting.

    Raises:
        InputError: If it is not above 0 and below 1.
    """
    check_range("coverage", coverage, math.ulp(0.0), below=1.0)


def _calibrate(samples: DecisionSamples, coverage: float) -> tuple[Tensor, float, Tensor]:
    """Offset and temperature of `PredictionSets`, and the log-probability of the label of each sample, fp32 (N,)."""
    check_coverage(coverage)
    offset = samples.offset(1.0)
    calibration = TemperatureScaling(samples.counts)
    calibration.fit((samples.scores + offset).softmax(dim=1), samples.labels)
    temperature = float(calibration.temperature)
    found = _log_probabilities(samples.scores, offset, temperature)
    return offset, temperature, found.gather(1, samples.labels[:, None]).squeeze(1)


def _log_probabilities(scaled: Tensor, offset: Tensor, temperature: float) -> Tensor:
    return ((scaled.float() + offset) / temperature).log_softmax(dim=1)
