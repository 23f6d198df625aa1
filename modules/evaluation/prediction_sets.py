"""Sets of labels that contain the true one with a chosen probability, also for rare classes."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from base.errors import InputError
from modules.decisions.samples import DecisionSamples
from modules.evaluation.calibration import TemperatureScaling
from modules.evaluation.set_thresholds import choose_thresholds
from modules.evaluation.threshold_sets import ThresholdSets
from modules.losses.classification.class_priors import log_priors


@dataclass(frozen=True)
class PredictionSets(ThresholdSets):
    """Conformal prediction sets: a label is in the set of a sample if its log-probability reaches a threshold.

    With a share `coverage` of the calibration samples in mind, plain conformal prediction (Vovk et al., 2005) has one
    threshold. It keeps its promise in the mean over samples and breaks it for rare classes, whose probabilities are
    low. Here each class has a threshold of its own, see `choose_thresholds`.
    """

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
        return cls(coverage, torch.ones_like(offset), offset, temperature, thresholds, strength, len(own))

    def values(self, logits: Tensor) -> Tensor:
        """See `ThresholdSets.values`: the log-probabilities of the classes, fp32 (B, C)."""
        scale, offset = self.scale.to(logits.device), self.offset.to(logits.device)
        return _log_probabilities(logits * scale, offset, self.temperature)


def check_coverage(coverage: float) -> None:
    """Check a coverage.

    Args:
        coverage: The value of the setting.

    Raises:
        InputError: If it is not above 0 and below 1.
    """
    if not 0 < coverage < 1:
        raise InputError(f"coverage: expected a number above 0 and below 1, such as 0.9, got {coverage}.")


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
