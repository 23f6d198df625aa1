"""Expected cost of a wrong prediction."""

from torch import Tensor

from modules.losses.classification.class_priors import log_priors
from modules.losses.classification.classification_loss import ClassificationLoss, check_range


class CostSensitiveLoss(ClassificationLoss):
    """Cross-entropy on logits raised by what a mistake would cost, ``z_j + log cost(y, j)`` for the other classes.

    The cost of taking class i for j is ``max(1, n_j / n_i)^power``: to take a rare class for a frequent one is
    expensive, to take it the other way round costs 1. Minimizing the cross-entropy on raised logits bounds the
    cost-weighted error, as in the cost-sensitive softmax of Khan et al., 2018, arXiv 1508.03422, whose costs
    are learned instead.
    """

    def __init__(self, power: float = 0.5) -> None:
        """Store the setting.

        Args:
            power: How much the ratio of sizes raises the cost, at least 0; 0 is cross-entropy.

        Raises:
            ValueError: Where it is out of range.
        """
        super().__init__()
        check_range("power", power, 0)
        self.power = power

    def adjust(self, logits: Tensor, labels: Tensor, class_counts: Tensor) -> Tensor:
        """Add the logarithm of the costs."""
        priors = log_priors(class_counts)
        return logits + self.power * (priors.unsqueeze(0) - priors[labels].unsqueeze(1)).clamp(min=0)
