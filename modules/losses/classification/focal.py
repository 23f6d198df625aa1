"""Focal loss."""

from torch import Tensor
from torch.nn import functional

from base.ranges import check_range
from modules.losses.classification.classification_loss import ClassificationLoss


class FocalLoss(ClassificationLoss):
    """Focal loss ``-(1 - p_y)^gamma log p_y``, which down-weights well-classified samples.

    Lin et al. (2017, arXiv 1708.02002), with softmax probabilities. Wrapped in `Reweighted` with `EffectiveNumber` it
    is the class-balanced focal loss (Cui et al., 2019, arXiv 1901.05555).
    """

    uses_counts = False

    def __init__(self, gamma: float = 2.0) -> None:
        """Create the loss.

        Args:
            gamma: Focusing parameter, at least 0; larger values down-weight easy samples more, 0 gives the
                cross-entropy.

        Raises:
            ValueError: If `gamma` is negative or not finite.
        """
        super().__init__()
        check_range("gamma", gamma, 0)
        self.gamma = gamma

    def weighted_losses(
        self, logits: Tensor, labels: Tensor, class_weights: Tensor, class_counts: Tensor, embeddings: Tensor | None
    ) -> Tensor:
        """See `ClassificationLoss.weighted_losses`."""
        log_probability = -functional.cross_entropy(logits, labels, reduction="none")
        # For gamma below 1 the gradient of the power is infinite at 0.
        missing = (-log_probability.expm1()).clamp(min=1e-12)
        return -(missing**self.gamma) * log_probability * class_weights[labels]
