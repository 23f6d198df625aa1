"""Learning from a teacher's probabilities."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


class Distillation:
    """Virtual examples from a teacher, flattened over the classes (DiVE; He et al., 2021, arXiv 2103.15042).

    ``(1 - weight) * classification loss + weight * temperature^2 * KL(q || softmax(z / temperature))`` with
    ``q ~ softmax(teacher / temperature)^power``. The probabilities that the teacher gives to other classes act as
    examples of these; the flatter q is, the more of them rare classes get.
    """

    def __init__(
        self, weight: float = 0.5, temperature: float = 3.0, power: float = 1.0, teacher: str | None = None
    ) -> None:
        """Create the loss.

        Args:
            weight: Weight of the divergence from the teacher, in 0..1; the classification loss has the rest.
            temperature: Divides the logits of teacher and student; positive.
            power: Exponent of the teacher's probabilities; flattens them below 1; positive.
            teacher: A checkpoint of `lightning fit` on the same classes; null takes the model as it is when the stage
                begins.

        Raises:
            ValueError: Where one is out of range.
        """
        if not 0 <= weight <= 1:
            raise ValueError(f"weight must lie in 0..1, got {weight}")
        for name, value in (("temperature", temperature), ("power", power)):
            if not 0 < value < float("inf"):
                raise ValueError(f"{name} must be positive and finite, got {value}")
        self.weight, self.temperature, self.power, self.teacher = weight, temperature, power, teacher

    def divergence(self, logits: Tensor, teacher_logits: Tensor) -> Tensor:
        """Divergence of the student from the teacher, before it is weighted.

        Args:
            logits: Logits of the student, floating point (B, C).
            teacher_logits: (B, C).

        Returns:
            fp32 scalar, at least 0: the mean over the batch.
        """
        with torch.autocast(logits.device.type, enabled=False):
            student = (logits.float() / self.temperature).log_softmax(dim=1)
            teacher = (self.power * (teacher_logits.float() / self.temperature).log_softmax(dim=1)).log_softmax(dim=1)
            value = functional.kl_div(student, teacher, reduction="batchmean", log_target=True)
            return self.temperature**2 * value
