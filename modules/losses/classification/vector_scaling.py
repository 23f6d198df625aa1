"""Vector-scaling loss, which includes class-dependent temperatures."""

from torch import Tensor

from base.ranges import check_range
from modules.losses.classification.class_priors import log_priors, relative_counts
from modules.losses.classification.classification_loss import ClassificationLoss


class VectorScalingLoss(ClassificationLoss):
    """Cross-entropy on ``logits * (n_c / n_max)^gamma + logit_adjustment * log prior``.

    Vector scaling (VS; Kini et al., 2021, arXiv 2103.01550). A gamma of 0 gives logit adjustment; a logit adjustment of
    0 gives class-dependent temperatures ``(n_max / n_c)^gamma`` (CDT; Ye et al., 2020, arXiv 2001.01385).
    """

    def __init__(self, gamma: float = 0.15, logit_adjustment: float = 1.0) -> None:
        """Create the loss.

        Args:
            gamma: Exponent of the relative class count, at least 0; larger values shrink the logits of small classes
                more.
            logit_adjustment: Factor of the log prior, at least 0.

        Raises:
            ValueError: If a setting is out of range.
        """
        super().__init__()
        check_range("gamma", gamma, 0)
        check_range("logit_adjustment", logit_adjustment, 0)
        self.gamma, self.logit_adjustment = gamma, logit_adjustment

    @property
    def removed_prior(self) -> float:
        """See `ClassificationLoss.removed_prior`."""
        return self.logit_adjustment

    def adjust(self, logits: Tensor, labels: Tensor, class_counts: Tensor) -> Tensor:
        """Scale and shift the logits of each class."""
        return logits * relative_counts(class_counts) ** self.gamma + self.logit_adjustment * log_priors(class_counts)
