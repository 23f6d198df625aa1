"""Softmax equalization loss: frequent classes do not suppress the logits of rare classes."""

import torch
from torch import Tensor

from base.ranges import check_range
from modules.losses.classification.class_priors import EXCLUDED_LOGIT, log_priors
from modules.losses.classification.classification_loss import ClassificationLoss


class SoftmaxEqualizationLoss(ClassificationLoss):
    """Cross-entropy whose softmax excludes rare classes at random (Tan et al., 2020, arXiv 2003.05176).

    ``-log( exp z_y / sum_k w_k exp z_k )``, where ``w_k`` is 0 with probability `ignore_probability` if class k
    is not y and its share of the training samples is below `rare_fraction`, and 1 otherwise.
    """

    def __init__(self, rare_fraction: float = 0.01, ignore_probability: float = 0.9) -> None:
        """Create the loss.

        Args:
            rare_fraction: Share of the training samples below which a class is rare, at least 0; 0 gives the
                cross-entropy.
            ignore_probability: Probability that a rare class is excluded, in [0, 1]. Draws use torch's global random
                state.

        Raises:
            ValueError: If a setting is out of range.
        """
        super().__init__()
        check_range("rare_fraction", rare_fraction, 0)
        check_range("ignore_probability", ignore_probability, 0, highest=1)
        self.rare_fraction, self.ignore_probability = rare_fraction, ignore_probability

    def adjust(self, logits: Tensor, labels: Tensor, class_counts: Tensor) -> Tensor:
        """Exclude rare classes other than the label at random."""
        rare = log_priors(class_counts).exp() < self.rare_fraction
        excluded = rare & (torch.rand_like(logits) < self.ignore_probability)
        excluded.scatter_(1, labels.unsqueeze(1), False)
        return logits.masked_fill(excluded, EXCLUDED_LOGIT)
