"""Balanced contrastive loss: equal weight of each class in the denominator, and learned class centers."""

import torch
from torch import Tensor, nn

from modules.losses.contrastive.anchor_blocks import sum_over_blocks
from modules.losses.contrastive.contrastive_loss import ClassContrastiveLoss
from modules.losses.contrastive.contrastive_terms import (
    Share,
    anchors_with_others,
    contrastive_term,
    others_of_group,
    same_group,
    unit_keys,
)
from modules.unit_embeddings import group_sizes, unit_embeddings


class BalancedContrastiveLoss(ClassContrastiveLoss):
    """Balanced contrastive loss (BCL; Zhu et al., 2022, arXiv 2207.09052).

    Positives of an anchor are the other anchors and the center of its class. The denominator is the sum over classes of
    the mean of ``exp(similarity / temperature)`` over the anchors and the center of the class, excluding the anchor
    itself. So frequent classes do not repel more strongly than rare ones, and classes absent from the batch are
    represented by their centers. The centers are parameters of the loss; the paper computes them from the classifier's
    weights.

    Attributes:
        centers: Class centers, (C, d), created by `build`.
        seen: Labels of the classes with training samples, int64.
    """

    centers: nn.Parameter
    seen: Tensor

    def build(self, class_counts: Tensor, width: int) -> None:
        """Initialize the centers at random; classes without training samples are excluded."""
        self.centers = nn.Parameter(torch.randn(len(class_counts), width))
        self.register_buffer("seen", (class_counts > 0).nonzero().squeeze(1), persistent=False)

    def term(self, views: Tensor, labels: Tensor, share: Share) -> Tensor:
        """See `ClassContrastiveLoss.term`."""
        rows = share.rows(views)
        columns = torch.cat([unit_keys(views), unit_embeddings(self.centers)[self.seen]])
        column_labels = torch.cat([labels.repeat_interleave(views.shape[1]), self.seen])
        sizes = group_sizes(column_labels, len(self.centers))[column_labels]
        number = anchors_with_others(column_labels, rows, share.total)

        def of_block(similarity: Tensor, block: slice) -> Tensor:
            # Excludes the anchor from its own class, which still holds the center.
            log_sizes = (sizes - same_group(column_labels, block).long()).clamp(min=1).log()
            positives = others_of_group(column_labels, block)
            return contrastive_term(similarity, positives, block, self.temperature, number, log_sizes)

        return sum_over_blocks(columns, rows, of_block)
