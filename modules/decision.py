"""From logits to class probabilities, with a correction and a calibration fitted on validation samples."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from modules.evaluation.calibration import TemperatureScaling
from modules.evaluation.logit_correction import LogitCorrection
from modules.losses import ClassificationLoss

NEVER = -1e4
"""Score of a class that is never predicted; its probability is 0 in every precision."""


class Decision(nn.Module):
    """Corrects logits, converts them to probabilities and calibrates the probabilities.

    The correction is ``scale_c * logit_c + offset_c``. Classes without training samples are never predicted.

    Attributes:
        correction: Chooses scale and offset on the validation samples; None leaves them unchanged.
        calibration: Temperature scaling, fitted on the validation samples.
        logit_scale: Scale of each class's logit, fp32 (C,).
        logit_offset: Offset of each class's logit, fp32 (C,).
    """

    counts: Tensor
    logit_scale: Tensor
    logit_offset: Tensor

    def __init__(self, class_counts: Tensor, loss: ClassificationLoss) -> None:
        """Create a decision without correction or calibration.

        Args:
            class_counts: Training samples of each class, int64 (C,).
            loss: Loss that the logits are trained with, which defines probabilities and uncertainties.
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
        """Uncertainty of each prediction, (B,) in 0..1; None if the loss does not define one."""
        return self.loss.uncertainty(self.scores(logits), self.counts)

    @property
    def has_uncertainty(self) -> bool:
        """Whether predictions come with an uncertainty."""
        return self.loss.has_uncertainty

    def use(self, correction: LogitCorrection | None) -> None:
        """Use a correction from the next `fit` on; without one, logits are no longer corrected.

        Args:
            correction: Correction of the current training stage.
        """
        self.correction = correction
        if correction is None:
            self.logit_scale.fill_(1.0)
            self.logit_offset.zero_()

    def fit(self, logits: Tensor, labels: Tensor, classifier: nn.Module) -> float | None:
        """Fit the correction, if there is one, and the calibration.

        Args:
            logits: Logits of the head for validation samples, fp32 (N, C).
            labels: Labels, int64 (N,).
            classifier: Classification head.

        Returns:
            Strength of the correction; None without correction.
        """
        strength = None
        if self.correction is not None:
            strength, scale, offset = self.correction.choose(logits, labels, self.counts, classifier)
            self.logit_scale.copy_(scale)
            self.logit_offset.copy_(offset)
        self.calibration.fit(self.probabilities(logits), labels)
        return strength
