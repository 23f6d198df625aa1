"""Seesaw loss: frequent classes push rare ones down less, unless they are mistaken for each other."""

from torch import Tensor

from modules.losses.classification.class_priors import log_priors
from modules.losses.classification.classification_loss import ClassificationLoss, check_range


class SeesawLoss(ClassificationLoss):
    """Cross-entropy with ``exp z_j`` multiplied by a factor for each other class (Wang et al., 2021, arXiv 2008.10032).

    For a sample of class i the factor of class j is ``M * K``: mitigation ``M = min(1, n_j / n_i)^p`` and compensation
    ``K = max(1, prob_j / prob_i)^q`` with the softmax's probabilities, without gradient. The counts
    are those of the training set instead of those seen so far.
    """

    def __init__(self, p: float = 0.8, q: float = 2.0) -> None:
        """Store the settings.

        Args:
            p: Strength of the mitigation, at least 0.
            q: Strength of the compensation, at least 0; with both 0 it is cross-entropy.

        Raises:
            ValueError: Where one is out of range.
        """
        super().__init__()
        check_range("p", p, 0)
        check_range("q", q, 0)
        self.p, self.q = p, q

    def adjust(self, logits: Tensor, labels: Tensor, class_counts: Tensor) -> Tensor:
        """Add the logarithm of the factors, which is 0 for the sample's own class."""
        priors = log_priors(class_counts)
        mitigation = (priors.unsqueeze(0) - priors[labels].unsqueeze(1)).clamp(max=0)
        fixed = logits.detach()
        compensation = (fixed - fixed.gather(1, labels.unsqueeze(1))).clamp(min=0)
        return logits + self.p * mitigation + self.q * compensation
