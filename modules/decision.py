"""From logits to probabilities and labels, with what is chosen on validation samples."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from modules.evaluation.calibration import TemperatureScaling
from modules.evaluation.logit_correction import LogitCorrection
from modules.losses import ClassificationLoss

NEVER = -1e4
"""Score of a class that cannot be predicted; its probability is 0 in every precision."""


class Decision(nn.Module):
    """Corrects logits, turns them into probabilities and calibrates these.

    The correction is ``scale * logits + offset`` by class. A class without training samples is never predicted.

    Attributes:
        correction: How scale and offset are chosen on the validation samples; None keeps them as they are.
        calibration: Calibrates probabilities; fitted on the validation samples.
    """

    counts: Tensor
    logit_scale: Tensor
    logit_offset: Tensor

    def __init__(self, class_counts: Tensor, loss: ClassificationLoss) -> None:
        """Start without correction and calibration.

        Args:
            class_counts: Training samples of each class, int64 (C,).
            loss: What the logits were trained with; it says what probabilities and uncertainties are.
        """
        super().__init__()
        self.loss = loss
        self.correction: LogitCorrection | None = None
        self.register_buffer("counts", class_counts, persistent=False)
        self.register_buffer("logit_scale", torch.ones(len(class_counts)))
        self.register_buffer("logit_offset", torch.zeros(len(class_counts)))
        self.calibration = TemperatureScaling(class_counts)

    def scores(self, logits: Tensor) -> Tensor:
        """Corrected logits, fp32 (B, C), from the logits of the head, (B, C)."""
        return (self.logit_scale * logits.float() + self.logit_offset).masked_fill(self.counts == 0, NEVER)

    def probabilities(self, logits: Tensor) -> Tensor:
        """Class probabilities before calibration, fp32 (B, C), from the logits of the head, (B, C)."""
        return self.loss.probabilities(self.scores(logits), self.counts)

    def uncertainty(self, logits: Tensor) -> Tensor | None:
        """How little the model knows about each sample, in 0..1, (B,); None where the loss does not say."""
        return self.loss.uncertainty(self.scores(logits), self.counts)

    @property
    def has_uncertainty(self) -> bool:
        """Whether predictions come with an uncertainty."""
        return self.uncertainty(torch.zeros(1, len(self.counts), device=self.counts.device)) is not None

    def fit(self, logits: Tensor, labels: Tensor, classifier: nn.Module) -> float | None:
        """Choose the correction, if there is one, and the calibration.

        Args:
            logits: Logits of the head on samples that were not trained on, fp32 (N, C).
            labels: int64 (N,).
            classifier: The head.

        Returns:
            The strength of the correction; None where there is none.
        """
        strength = None
        if self.correction is not None:
            strength, scale, offset = self.correction.choose(logits, labels, self.counts, classifier)
            self.logit_scale.copy_(scale)
            self.logit_offset.copy_(offset)
        self.calibration.fit(self.probabilities(logits), labels)
        return strength
