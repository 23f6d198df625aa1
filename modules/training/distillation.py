"""Distillation: learning from the probabilities of a teacher."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from base.ranges import check_positive, check_range


class Distillation:
    """Distillation with flattened teacher probabilities (virtual examples, DiVE; He et al., 2021, arXiv 2103.15042).

    ``(1 - weight) * classification loss + weight * temperature^2 * KL(q || softmax(z / temperature))`` with
    ``q ~ softmax(teacher / temperature)^power``. The probabilities that the teacher assigns to other classes act as
    virtual examples of these classes; the flatter q is, the more virtual examples rare classes get.
    """

    def __init__(
        self, weight: float = 0.5, temperature: float = 3.0, power: float = 1.0, teacher: str | None = None
    ) -> None:
        """Create the distillation.

        Args:
            weight: Weight of the divergence from the teacher, in 0..1; the classification loss has weight 1 - weight.
            temperature: Positive divisor of the logits of teacher and student.
            power: Positive exponent of the teacher's probabilities; values below 1 flatten them.
            teacher: Checkpoint of `lightning fit` with the same classes; null uses the model at the beginning of the
                stage.

        Raises:
            ValueError: If a setting is out of range.
        """
        check_range("weight", weight, 0, highest=1)
        check_positive("temperature", temperature)
        check_positive("power", power)
        self.weight, self.temperature, self.power, self.teacher = weight, temperature, power, teacher

    def divergence(self, logits: Tensor, teacher_logits: Tensor) -> Tensor:
        """Compute the unweighted divergence of the student from the teacher.

        Args:
            logits: Logits of the student, floating point (B, C).
            teacher_logits: Logits of the teacher, floating point (B, C).

        Returns:
            Mean over the batch, fp32 scalar, at least 0.
        """
        with torch.autocast(logits.device.type, enabled=False):
            student = (logits.float() / self.temperature).log_softmax(dim=1)
            teacher = (self.power * (teacher_logits.float() / self.temperature).log_softmax(dim=1)).log_softmax(dim=1)
            value = functional.kl_div(student, teacher, reduction="batchmean", log_target=True)
            return self.temperature**2 * value
