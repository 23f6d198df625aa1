"""Class-instance-balanced contrast: the share of contrast grows with the number of positives in the batch."""

import torch
from torch import Tensor

from base.ranges import check_range
from modules.losses.contrastive.contrastive_loss import ClassContrastiveLoss
from modules.losses.contrastive.contrastive_terms import contrastive_term, pairwise_similarity


class InstanceBalancedContrastiveLoss(ClassContrastiveLoss):
    """Supervised contrast, balanced against the classification loss (CIBL; Lavoie and Waslander, 2023).

    For a sample with P positives among the B*V anchors of the batch, the supervised contrastive loss has weight
    ``alpha P / (1 + alpha P)`` and the classification loss ``1 / (1 + alpha P)`` (arXiv 2307.05322). Frequent classes
    learn mainly from the contrast, and rare classes have a larger share of the classification loss. For the
    classification loss P counts the batch of the process only.
    """

    def __init__(self, alpha: float = 0.1, temperature: float = 0.1, base_temperature: float = 0.1) -> None:
        """Create the loss.

        Args:
            alpha: Weight of a positive relative to the classification loss, at least 0; larger values favor rare
                classes in the classification loss.
            temperature: Positive divisor of the cosine similarities.
            base_temperature: Positive; the loss is scaled by temperature / base_temperature.

        Raises:
            ValueError: If a setting is out of range.
        """
        super().__init__(temperature, base_temperature)
        check_range("alpha", alpha, 0)
        self.alpha = alpha

    def classification_shares(self, labels: Tensor, num_views: int) -> Tensor:
        """See `ContrastiveLoss.classification_shares`."""
        same_class = (labels.unsqueeze(1) == labels.unsqueeze(0)).sum(dim=1)
        return 1 / (1 + self.alpha * (num_views * same_class - 1).float())

    def term(self, views: Tensor, labels: Tensor) -> Tensor:
        """See `ClassContrastiveLoss.term`."""
        number = views.shape[1]
        anchor_labels = labels.repeat_interleave(number)
        others = ~torch.eye(len(anchor_labels), dtype=torch.bool, device=labels.device)
        positives = (anchor_labels.unsqueeze(1) == anchor_labels.unsqueeze(0)) & others
        shares = 1 - self.classification_shares(labels, number).repeat_interleave(number)
        similarity = pairwise_similarity(views)
        return contrastive_term(similarity, positives, others, self.temperature, anchor_weights=shares.unsqueeze(1))
