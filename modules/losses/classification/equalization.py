"""Softmax equalization: rare classes are not pushed down by frequent ones."""

import torch
from torch import Tensor

from modules.losses.classification.class_priors import EXCLUDED_LOGIT, log_priors
from modules.losses.classification.classification_loss import ClassificationLoss, check_range


class SoftmaxEqualizationLoss(ClassificationLoss):
    """Cross-entropy whose softmax leaves rare classes out at random (Tan et al., 2020, arXiv 2003.05176).

    ``-log( exp z_y / sum_k w_k exp z_k )``, where ``w_k`` is 0 with probability `ignored` if class k is not y and has a
    share of the training samples below `rare`, else 1.
    """

    def __init__(self, rare: float = 0.01, ignored: float = 0.9) -> None:
        """Store the settings.

        Args:
            rare: Share of the training samples below which a class is rare, at least 0; 0 is cross-entropy.
            ignored: How often a rare class is left out, in [0, 1]; drawn from torch's random state.

        Raises:
            ValueError: Where one is out of range.
        """
        super().__init__()
        check_range("rare", rare, 0)
        if not 0 <= ignored <= 1:
            raise ValueError(f"ignored must lie in [0, 1], got {ignored}")
        self.rare, self.ignored = rare, ignored

    def adjust(self, logits: Tensor, labels: Tensor, class_counts: Tensor) -> Tensor:
        """Leave classes out."""
        left_out = (log_priors(class_counts).exp() < self.rare) & (torch.rand_like(logits) < self.ignored)
        left_out.scatter_(1, labels.unsqueeze(1), False)
        return logits.masked_fill(left_out, EXCLUDED_LOGIT)
