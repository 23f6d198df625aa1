"""Corrections of a trained classifier's scores, chosen by balanced accuracy on the validation split."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from modules.losses.classification.class_priors import log_priors
from modules.losses.classification.classification_loss import check_range


class LogitCorrection(ABC):
    """Scores become ``scale * logits + offset``, by class, with a strength that is chosen on the validation split."""

    needs_linear_head = False
    """Whether the head must end with a single linear layer."""

    def __init__(self, largest: float, steps: int = 20) -> None:
        """Store the settings.

        Args:
            largest: Largest strength to try, positive; the smallest is 0, which changes nothing.
            steps: How many strengths above 0 to try, at least 1.

        Raises:
            ValueError: Where one is out of range.
        """
        check_range("largest", largest, torch.finfo(torch.float32).tiny)
        check_range("steps", steps, 1)
        self.largest, self.steps = largest, steps

    @abstractmethod
    def correction(self, strength: float, class_counts: Tensor, classifier: nn.Module) -> tuple[Tensor, Tensor]:
        """Scale and offset of each class.

        Args:
            strength: 0 for none.
            class_counts: Training samples of each class, (C,).
            classifier: Ends with the layer that gives the logits.

        Returns:
            fp32 (C,) and (C,).
        """

    @torch.no_grad()
    def choose(
        self, logits: Tensor, labels: Tensor, class_counts: Tensor, classifier: nn.Module
    ) -> tuple[float, Tensor, Tensor]:
        """Try all strengths.

        Args:
            logits: fp32 (N, C) of the validation split, before any correction.
            labels: int64 (N,).
            class_counts: (C,).
            classifier: Gave the logits.

        Returns:
            The strength of the highest mean recall, the smallest of several, with its scale and offset.
        """
        support = torch.bincount(labels, minlength=logits.shape[1])
        best, chosen = -1.0, (0.0, torch.ones_like(logits[0]), torch.zeros_like(logits[0]))
        for step in range(self.steps + 1):
            strength = self.largest * step / self.steps
            scale, offset = self.correction(strength, class_counts, classifier)
            scores = (scale * logits + offset).masked_fill(class_counts == 0, -torch.inf)
            hits = labels[scores.argmax(dim=1) == labels]
            recall = torch.bincount(hits, minlength=len(support)).double() / support
            accuracy = float(recall[support > 0].mean())
            if accuracy > best:
                best, chosen = accuracy, (strength, scale, offset)
        return chosen


class PriorCorrection(LogitCorrection):
    """``logits - strength * log prior`` (post-hoc logit adjustment; Menon et al., 2021, arXiv 2007.07314)."""

    def __init__(self, largest: float = 2.0, steps: int = 20) -> None:
        """Store the settings.

        Args:
            largest: Largest strength to try, positive; 1 removes the prior.
            steps: How many strengths above 0 to try, at least 1.

        Raises:
            ValueError: Where one is out of range.
        """
        super().__init__(largest, steps)

    def correction(self, strength: float, class_counts: Tensor, classifier: nn.Module) -> tuple[Tensor, Tensor]:
        """See `LogitCorrection.correction`."""
        priors = log_priors(class_counts)
        return torch.ones_like(priors), -strength * priors


class TauNormalization(LogitCorrection):
    """``w_c . h / ||w_c||^strength``, without the bias above strength 0 (Kang et al., 2020, arXiv 1910.09217)."""

    needs_linear_head = True

    def __init__(self, largest: float = 1.0, steps: int = 20) -> None:
        """Store the settings.

        Args:
            largest: Largest strength to try, positive; 1 makes all weights of one length.
            steps: How many strengths above 0 to try, at least 1.

        Raises:
            ValueError: Where one is out of range.
        """
        super().__init__(largest, steps)

    def correction(self, strength: float, class_counts: Tensor, classifier: nn.Module) -> tuple[Tensor, Tensor]:
        """See `LogitCorrection.correction`.

        Raises:
            ValueError: If the classifier does not end with a linear layer.
        """
        layer = classifier[-1] if isinstance(classifier, nn.Sequential) else classifier
        if not isinstance(layer, nn.Linear):
            raise ValueError(f"TauNormalization needs a classifier that ends with a linear layer, got {layer}")
        norms = torch.linalg.vector_norm(layer.weight.float(), dim=1).clamp(min=1e-12)
        if strength == 0:
            return torch.ones_like(norms), torch.zeros_like(norms)
        scale = norms**-strength
        return scale, -scale * layer.bias.float()
