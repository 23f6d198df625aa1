"""Post-hoc corrections of logits, chosen by the balanced accuracy on the validation split."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from base.ranges import check_positive, check_whole
from modules.losses.classification.class_priors import log_priors


class LogitCorrection(ABC):
    """Base class of corrections ``scale_c * logit_c + offset_c`` whose strength is chosen on the validation split."""

    needs_linear_head = False
    """Whether the correction requires a head that ends with a single linear layer."""

    def __init__(self, max_strength: float, steps: int = 20) -> None:
        """Create the correction.

        Args:
            max_strength: Largest strength to try, positive; the smallest is 0, which does not change the logits.
            steps: Number of equidistant strengths above 0 to try, at least 1.

        Raises:
            ValueError: If a setting is out of range.
        """
        check_positive("max_strength", max_strength)
        check_whole("steps", steps, 1)
        self.max_strength, self.steps = max_strength, steps

    @abstractmethod
    def correction(self, strength: float, class_counts: Tensor, classifier: nn.Module) -> tuple[Tensor, Tensor]:
        """Compute the scale and offset of each class.

        Args:
            strength: Strength of the correction; 0 for none.
            class_counts: Training samples of each class, (C,).
            classifier: Classification head.

        Returns:
            Scale and offset, fp32 (C,) each.
        """

    @torch.no_grad()
    def choose(
        self, logits: Tensor, labels: Tensor, class_counts: Tensor, classifier: nn.Module
    ) -> tuple[float, Tensor, Tensor]:
        """Choose the strength of the highest balanced accuracy.

        Args:
            logits: Logits of the validation split without correction, fp32 (N, C).
            labels: Labels, int64 (N,).
            class_counts: Training samples of each class, (C,).
            classifier: Classification head that computed the logits.

        Returns:
            The strength, the smallest one if several are equally good, and its scale and offset, fp32 (C,) each.
        """
        support = torch.bincount(labels, minlength=logits.shape[1])
        best, chosen = -1.0, (0.0, torch.ones_like(logits[0]), torch.zeros_like(logits[0]))
        for step in range(self.steps + 1):
            strength = self.max_strength * step / self.steps
            scale, offset = self.correction(strength, class_counts, classifier)
            scores = (scale * logits + offset).masked_fill(class_counts == 0, -torch.inf)
            hits = labels[scores.argmax(dim=1) == labels]
            recall = torch.bincount(hits, minlength=len(support)).double() / support
            accuracy = float(recall[support > 0].mean())
            if accuracy > best:
                best, chosen = accuracy, (strength, scale, offset)
        return chosen


class PriorCorrection(LogitCorrection):
    """Post-hoc logit adjustment ``logits - strength * log prior`` (Menon et al., 2021, arXiv 2007.07314)."""

    def __init__(self, max_strength: float = 2.0, steps: int = 20) -> None:
        """Create the correction.

        Args:
            max_strength: Largest strength to try, positive; 1 removes the prior.
            steps: Number of equidistant strengths above 0 to try, at least 1.

        Raises:
            ValueError: If a setting is out of range.
        """
        super().__init__(max_strength, steps)

    def correction(self, strength: float, class_counts: Tensor, classifier: nn.Module) -> tuple[Tensor, Tensor]:
        """See `LogitCorrection.correction`."""
        priors = log_priors(class_counts)
        return torch.ones_like(priors), -strength * priors


class TauNormalization(LogitCorrection):
    """Tau-normalization ``w_c . h / ||w_c||^strength`` (Kang et al., 2020, arXiv 1910.09217).

    The bias of the classifier is dropped, except at strength 0.
    """

    needs_linear_head = True

    def __init__(self, max_strength: float = 1.0, steps: int = 20) -> None:
        """Create the correction.

        Args:
            max_strength: Largest strength to try, positive; 1 normalizes the weight vectors to unit length.
            steps: Number of equidistant strengths above 0 to try, at least 1.

        Raises:
            ValueError: If a setting is out of range.
        """
        super().__init__(max_strength, steps)

    def correction(self, strength: float, class_counts: Tensor, classifier: nn.Module) -> tuple[Tensor, Tensor]:
        """See `LogitCorrection.correction`.

        Raises:
            ValueError: If the classifier does not end with a linear layer.
        """
        layer = classifier[-1] if isinstance(classifier, nn.Sequential) else classifier
        if not isinstance(layer, nn.Linear):
            raise ValueError(f"classifier: expected a module that ends with a linear layer, got {layer}.")
        norms = torch.linalg.vector_norm(layer.weight.float(), dim=1).clamp(min=1e-12)
        if strength == 0:
            return torch.ones_like(norms), torch.zeros_like(norms)
        scale = norms**-strength
        return scale, -scale * layer.bias.float()
