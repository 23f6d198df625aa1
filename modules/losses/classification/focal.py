"""Focal loss."""

from torch import Tensor
from torch.nn import functional

from modules.losses.classification.classification_loss import ClassificationLoss, check_range


class FocalLoss(ClassificationLoss):
    """Cross-entropy that counts well-classified samples less: ``-(1 - p_y)^gamma log p_y``.

    Lin et al., 2017, arXiv 1708.02002, with the softmax's probability of the sample's class. Inside
    `Reweighted` with `EffectiveNumber` it is the class-balanced focal loss (Cui et al., 2019).
    """

    uses_counts = False

    def __init__(self, gamma: float = 2.0) -> None:
        """Store the setting.

        Args:
            gamma: How fast easy samples lose weight, at least 0; 0 is cross-entropy.

        Raises:
            ValueError: Where it is out of range.
        """
        super().__init__()
        check_range("gamma", gamma, 0)
        self.gamma = gamma

    def weighted_losses(
        self, logits: Tensor, labels: Tensor, class_weights: Tensor, class_counts: Tensor, embeddings: Tensor | None
    ) -> Tensor:
        """See the class."""
        log_probability = -functional.cross_entropy(logits, labels, reduction="none")
        # Below the resolution of fp32 the power's slope may be infinite.
        missing = (-log_probability.expm1()).clamp(min=1e-12)
        return -(missing**self.gamma) * log_probability * class_weights[labels]
