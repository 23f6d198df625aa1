"""Sets of labels that contain the true one with a chosen probability, also for rare classes."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from base.ranges import check_range
from modules.decisions.samples import DecisionSamples
from modules.evaluation.calibration import TemperatureScaling
from modules.losses.classification.class_priors import log_priors

STRENGTHS = tuple(step / 8 for step in range(17))
"""Strengths of the prevalence adjustment to try, ascending."""
PRIOR_SAMPLES = 30
"""Number of samples of all classes that each class's own quantile is averaged with."""
_FOLDS = 10


@dataclass(frozen=True)
class PredictionSets:
    """Conformal prediction sets: a label is in the set of a sample if its log-probability reaches a threshold.

    With a share `coverage` of the calibration samples in mind, plain conformal prediction (Vovk et al., 2005) has one
    threshold. It keeps its promise in the mean over samples and breaks it for rare classes, whose probabilities are
    low. Here the threshold of class c is ``t_c + strength * log prior_c``:

    - ``strength * log prior_c`` adjusts for prevalence (Ding et al., 2025, arXiv 2507.06867). The strength is the
      smallest with which the mean coverage of the classes reaches `coverage` too, and at most half as many classes as
      without adjustment are covered for less than half of it.
    - ``t_c`` is the quantile of the class, as far as its samples carry one: averaged with that of all samples as if
      those were `PRIOR_SAMPLES`, and that of all samples if the class has too few for a quantile.
    - One shift of all thresholds makes the coverage of all samples right. It is chosen on thresholds that were made
      without the sample that they are compared with, by folds.

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
        priors = log_priors(samples.counts)
        folds = samples.folds(_FOLDS)
        found = []
        for strength in STRENGTHS:
            adjusted = own - strength * priors[samples.labels]
            of_classes, covered = _shifted_thresholds(adjusted, samples.labels, len(priors), folds, coverage)
            missed, mean = int((covered < coverage / 2).sum()), float(covered.mean())
            found.append((missed, -mean, strength, of_classes + strength * priors))
            if mean >= coverage and missed <= found[0][0] / 2:
                break
        else:
            found.sort(key=lambda one: one[:3])
            found = found[:1]
        *_, strength, thresholds = found[-1]
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
        threshold = torch.full((len(samples.counts),), _lower_quantile(own, coverage))
        threshold = threshold.masked_fill(samples.counts == 0, torch.inf)
        return cls(coverage, torch.ones_like(offset), offset, temperature, threshold, 0.0)

    def of_logits(self, scale: Tensor, offset: Tensor) -> PredictionSets:
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
        return self._log_probabilities(logits) >= self.thresholds.to(logits.device)

    def codes(self, logits: Tensor) -> list[list[int]]:
        """The classes in the set of each of B samples, the most probable first.

        Args:
            logits: As of `members`.
        """
        found = self._log_probabilities(logits)
        members, order = found >= self.thresholds.to(found.device), found.argsort(dim=1, descending=True, stable=True)
        ordered = zip(order.tolist(), members.gather(1, order).tolist(), strict=True)
        return [[code for code, inside in zip(*row, strict=True) if inside] for row in ordered]

    def _log_probabilities(self, logits: Tensor) -> Tensor:
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


def _places(sizes: Tensor, coverage: float) -> Tensor:
    """How many of the smallest of so many values, int64, are not above their lower quantile."""
    # 10 * (1 - 0.9) is slightly below 1.
    return ((sizes + 1).double() * (1 - coverage) + 1e-9).floor().long()


def _lower_quantile(values: Tensor, coverage: float) -> float:
    """The largest threshold that a new value reaches with at least this probability; minus infinity for few values."""
    place = int(_places(torch.tensor(len(values)), coverage))
    return float(values.sort().values[place - 1]) if place >= 1 else -math.inf


def _class_thresholds(values: Tensor, labels: Tensor, num_classes: int, coverage: float) -> Tensor:
    """The quantile of each class, (C,), averaged with that of all values; that of all where a class has too few."""
    everyone = _lower_quantile(values, coverage)
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
    shift = _lower_quantile(beyond, coverage)
    covered = (beyond >= shift).float()
    sizes = torch.bincount(labels, minlength=num_classes)
    of_classes = torch.zeros(num_classes).index_add_(0, labels, covered)[sizes > 0] / sizes[sizes > 0]
    thresholds = _class_thresholds(values, labels, num_classes, coverage) + shift
    # Without any quantile, nothing is left out: minus infinity minus itself is not a number.
    return thresholds.nan_to_num(nan=-math.inf, posinf=-math.inf, neginf=-math.inf), of_classes
