"""Supervised contrast whose share of the loss grows with how many of its class a sample finds in the batch."""

import torch
from torch import Tensor

from modules.losses.classification.classification_loss import check_range
from modules.losses.contrastive.contrastive_loss import ClassContrastiveLoss
from modules.losses.contrastive.contrastive_terms import contrastive_term, pairwise_similarity


class InstanceBalancedContrastiveLoss(ClassContrastiveLoss):
    """Supervised contrast against cross-entropy by the class's instances (after CIBL; Lavoie and Waslander, 2023).

    Of a sample with P positives among the V B anchors of the batch (arXiv 2307.05322), the share
    ``alpha P / (1 + alpha P)`` of the loss is supervised contrast and ``1 / (1 + alpha P)`` the classification loss:
    frequent classes learn by contrast, and the classifier leans to rare ones. P counts the batch of one process for the
    classification loss.
    """

    def __init__(self, alpha: float = 0.1, temperature: float = 0.1, base_temperature: float = 0.1) -> None:
        """Store the settings.

        Args:
            alpha: Weight of a positive beside the classification loss, at least 0; larger favors rare classes.
            temperature: Divides every similarity; positive.
            base_temperature: The scale of the loss is temperature / base_temperature; positive.

        Raises:
            ValueError: Where a setting is out of range.
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
