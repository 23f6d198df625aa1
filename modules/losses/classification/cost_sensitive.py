"""Cost-sensitive cross-entropy."""

from torch import Tensor

from base.ranges import check_range
from modules.losses.classification.class_priors import log_priors
from modules.losses.classification.classification_loss import ClassificationLoss


class CostSensitiveLoss(ClassificationLoss):
    """Cross-entropy on logits ``z_j + log cost(y, j)``, raised by the cost of predicting class j for a sample of y.

    The cost of predicting class j for a sample of class i is ``max(1, n_j / n_i)^power``: mistaking a rare class for a
    frequent one is expensive, the opposite mistake costs 1. The loss is an upper bound of the cost-weighted error, as
    is the cost-sensitive softmax of Khan et al. (2018, arXiv 1508.03422), whose costs are learned.
    """

    def __init__(self, power: float = 0.5) -> None:
        """Create the loss.

        Args:
            power: Exponent of the ratio of class sizes, at least 0; 0 gives the cross-entropy.

        Raises:
            ValueError: If `power` is negative or not finite.
        """
        super().__init__()
        check_range("power", power, 0)
        self.power = power

    def adjust(self, logits: Tensor, labels: Tensor, class_counts: Tensor) -> Tensor:
        """Add the logarithm of the costs."""
        priors = log_priors(class_counts)
        return logits + self.power * (priors.unsqueeze(0) - priors[labels].unsqueeze(1)).clamp(min=0)
