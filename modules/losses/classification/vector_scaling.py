"""Logits scaled and shifted by class: vector scaling, and class-dependent temperatures."""

from torch import Tensor

from modules.losses.classification.class_priors import log_priors, relative_counts
from modules.losses.classification.classification_loss import ClassificationLoss, check_range


class VectorScalingLoss(ClassificationLoss):
    """Cross-entropy on ``logits * (n_c / n_max)^gamma + logit_adjustment * log prior``.

    Kini et al., 2021, arXiv 2103.01550. A gamma of 0 is logit adjustment; a logit adjustment of 0 is CDT,
    class-dependent temperatures ``(n_max / n_c)^gamma`` (Ye et al., 2020, arXiv 2001.01385).
    """

    def __init__(self, gamma: float = 0.15, logit_adjustment: float = 1.0) -> None:
        """Store the settings.

        Args:
            gamma: How much the logits of small classes shrink in training, at least 0.
            logit_adjustment: Factor of the log prior, at least 0.

        Raises:
            ValueError: Where one is out of range.
        """
        super().__init__()
        check_range("gamma", gamma, 0)
        check_range("logit_adjustment", logit_adjustment, 0)
        self.gamma, self.logit_adjustment = gamma, logit_adjustment

    def adjust(self, logits: Tensor, labels: Tensor, class_counts: Tensor) -> Tensor:
        """Scale and shift."""
        return logits * relative_counts(class_counts) ** self.gamma + self.logit_adjustment * log_priors(class_counts)
