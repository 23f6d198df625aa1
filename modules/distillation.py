"""Learning from a teacher's probabilities."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from datamodules.batch import Batch

if TYPE_CHECKING:
    from modules.drug_classifier import DrugClassifier


class Distillation:
    """Virtual examples from a teacher, flattened over the classes (DiVE; He et al., 2021, arXiv 2103.15042).

    ``(1 - weight) * classification loss + weight * temperature^2 * KL(q || softmax(z / temperature))`` with
    ``q ~ softmax(teacher / temperature)^power``. What the teacher gives to other classes are examples of these, which
    rare classes get more of the flatter q is.
    """

    def __init__(self, weight: float = 0.5, temperature: float = 3.0, power: float = 1.0) -> None:
        """Store the settings.

        Args:
            weight: Of the divergence from the teacher, in 0..1; the classification loss has the rest.
            temperature: Divides the logits of both; positive.
            power: Flattens the teacher's probabilities below 1; positive.

        Raises:
            ValueError: Where one is out of range.
        """
        if not 0 <= weight <= 1:
            raise ValueError(f"weight must lie in 0..1, got {weight}")
        for name, value in (("temperature", temperature), ("power", power)):
            if not 0 < value < float("inf"):
                raise ValueError(f"{name} must be positive and finite, got {value}")
        self.weight, self.temperature, self.power = weight, temperature, power

    def divergence(self, logits: Tensor, teacher_logits: Tensor) -> Tensor:
        """How far the student is from the teacher, as the class says, before it is weighted.

        Args:
            logits: Of the student, floating point (B, C).
            teacher_logits: (B, C).

        Returns:
            fp32 scalar, at least 0: the mean over the batch.
        """
        with torch.autocast(logits.device.type, enabled=False):
            student = (logits.float() / self.temperature).log_softmax(dim=1)
            teacher = (self.power * (teacher_logits.float() / self.temperature).log_softmax(dim=1)).log_softmax(dim=1)
            value = functional.kl_div(student, teacher, reduction="batchmean", log_target=True)
            return self.temperature**2 * value


class Teacher(nn.Module):
    """The layers of a trained model, which stay as they are."""

    def __init__(self, model: DrugClassifier) -> None:
        """Copy them.

        Args:
            model: Built, and trained.
        """
        super().__init__()
        self.encoder, self.classifier = copy.deepcopy(model.encoder), copy.deepcopy(model.classifier)
        self.requires_grad_(False)

    @torch.no_grad()
    def forward(self, batch: Batch) -> Tensor:
        """Logits, (B, C), of samples as they are; never in training mode."""
        self.eval()
        logits: Tensor = self.classifier(self.encoder(batch))
        return logits
