"""Seesaw loss: frequent classes suppress rare classes less, unless samples are misclassified."""

from torch import Tensor

from base.ranges import check_range
from modules.losses.classification.class_priors import log_priors
from modules.losses.classification.classification_loss import ClassificationLoss


class SeesawLoss(ClassificationLoss):
    """Cross-entropy with ``exp z_j`` multiplied by a factor for each other class (Wang et al., 2021, arXiv 2008.10032).

    For a sample of class i the factor of class j is ``M * K``: mitigation ``M = min(1, n_j / n_i)^p`` and compensation
    ``K = max(1, prob_j / prob_i)^q`` with the softmax probabilities, without gradient. Class counts are those of the
    training set; the paper counts the samples seen so far.
    """

    def __init__(self, p: float = 0.8, q: float = 2.0) -> None:
        """Create the loss.

        Args:
            p: Exponent of the mitigation factor, at least 0.
            q: Exponent of the compensation factor, at least 0; with p and q 0 the loss is the cross-entropy.

        Raises:
            ValueError: If a setting is out of range.
        """
        super().__init__()
        check_range("p", p, 0)
        check_range("q", q, 0)
        self.p, self.q = p, q

    def adjust(self, logits: Tensor, labels: Tensor, class_counts: Tensor) -> Tensor:
        """Add the logarithms of the factors, which are 0 for the class of each sample."""
        priors = log_priors(class_counts)
        mitigation = (priors.unsqueeze(0) - priors[labels].unsqueeze(1)).clamp(max=0)
        fixed = logits.detach()
        compensation = (fixed - fixed.gather(1, labels.unsqueeze(1))).clamp(min=0)
        return logits + self.p * mitigation + self.q * compensation
