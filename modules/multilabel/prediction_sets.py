"""Sets that hold a chosen share of the labels that samples have, also of rare ones."""

from __future__ import annotations

import torch
from torch import Tensor

from modules.evaluation.prediction_sets import check_coverage
from modules.evaluation.set_thresholds import choose_thresholds
from modules.evaluation.threshold_sets import ThresholdSets
from modules.multilabel.calibration import LabelCalibration


class LabelPredictionSets(ThresholdSets):
    """Conformal sets of labels: a label is in the set of a sample if its log odds reach a threshold.

    Every label that a calibration sample is known to have is one value, so that `coverage` is the share of the known
    labels of all samples that the sets hold. The thresholds are those of `choose_thresholds`, whose coverage of a class
    is here the share of the samples with a label whose set holds it. The labels of a sample depend on each other, so
    that the share is right for many samples and not guaranteed for few.
    """

    @classmethod
    def of_labels(
        cls, log_odds: Tensor, labels: Tensor, counts: Tensor, priors: Tensor, coverage: float
    ) -> LabelPredictionSets:
        """Choose the thresholds.

        Args:
            log_odds: Log odds of the labels for samples that the model was not trained on, with the prior of training
                and before calibration, fp32 (N, L).
            labels: 1 the sample has the label, 0 it does not, -1 not known, integers (N, L).
            counts: Training samples that have each label, int64 (L,); a label that none has is in no set.
            priors: Log odds of the labels in training, fp32 (L,).
            coverage: Share of the labels of the samples that their sets must hold, above 0 and below 1.

        Raises:
            InputError: If `coverage` is not in this range.
        """
        temperature, samples, own = _present(log_odds, labels, counts, coverage)
        strength, thresholds = choose_thresholds(log_odds[samples, own] / temperature, own, priors, coverage)
        ones, known = torch.ones(len(counts)), thresholds.masked_fill(counts == 0, torch.inf)
        return cls(coverage, ones, torch.zeros_like(ones), temperature, known, strength, len(own))

    def values(self, logits: Tensor) -> Tensor:
        """See `ThresholdSets.values`: the log odds of the labels, fp32 (B, L)."""
        scale, offset = self.scale.to(logits.device), self.offset.to(logits.device)
        return (logits.float() * scale + offset) / self.temperature


def _present(log_odds: Tensor, labels: Tensor, counts: Tensor, coverage: float) -> tuple[float, Tensor, Tensor]:
    """The temperature of calibration; samples and labels, int64 (M,) each, of the entries that are present."""
    check_coverage(coverage)
    known = labels.masked_fill(counts == 0, -1)
    calibration = LabelCalibration(counts)
    calibration.fit(torch.sigmoid(log_odds), known)
    samples, own = (known == 1).nonzero(as_tuple=True)
    return float(calibration.temperature), samples, own
