"""Class-instance-balanced contrast: the share of contrast grows with the number of positives in the batch."""

from torch import Tensor

from base.ranges import check_range
from modules.losses.contrastive.anchor_blocks import sum_over_blocks
from modules.losses.contrastive.contrastive_loss import ClassContrastiveLoss
from modules.losses.contrastive.contrastive_terms import (
    Share,
    anchors_with_others,
    contrastive_term,
    group_members,
    others_of_group,
    unit_keys,
)


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
        return 1 / (1 + self.alpha * (num_views * group_members(labels) - 1).float())

    def term(self, views: Tensor, labels: Tensor, share: Share) -> Tensor:
        """See `ClassContrastiveLoss.term`."""
        rows, groups = share.rows(views), labels.repeat_interleave(views.shape[1])
        weights = 1 - self.classification_shares(labels, views.shape[1]).repeat_interleave(views.shape[1]).unsqueeze(1)
        number = anchors_with_others(groups, rows, share.total)

        def of_block(similarity: Tensor, block: slice) -> Tensor:
            positives = others_of_group(groups, block)
            return contrastive_term(
                similarity, positives, block, self.temperature, number, anchor_weights=weights[block]
            )

        return sum_over_blocks(unit_keys(views), rows, of_block)
