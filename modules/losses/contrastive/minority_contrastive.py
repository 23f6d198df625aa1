"""Supervised minority contrast: labels define the positives of all classes except the largest."""

import torch
from torch import Tensor

from modules.losses.contrastive.anchor_blocks import sum_over_blocks
from modules.losses.contrastive.contrastive_loss import ClassContrastiveLoss
from modules.losses.contrastive.contrastive_terms import (
    Share,
    anchors_with_others,
    group_term,
    owners_of_keys,
    unit_keys,
)


class MinorityContrastiveLoss(ClassContrastiveLoss):
    """Instance contrast for the largest class, supervised contrast for the others (SupMin; Mildenberger et al., 2025).

    For binary data with a high imbalance ratio, where supervised contrast collapses the large class to one point
    (arXiv 2503.17024). Positives of an anchor of the largest class are the other views of its sample; positives of an
    anchor of another class are all other anchors of its class. The denominator contains all other anchors.
    """

    largest: Tensor

    def build(self, class_counts: Tensor, width: int) -> None:
        """Find the largest class, the lowest label if several are equally large."""
        self.register_buffer("largest", class_counts.argmax(), persistent=False)

    def term(self, views: Tensor, labels: Tensor, share: Share) -> Tensor:
        """See `ClassContrastiveLoss.term`."""
        rows, key_labels = share.rows(views), labels.repeat_interleave(views.shape[1])
        # Each sample of the largest class is a group of its own, with numbers that no class has.
        groups = torch.where(key_labels == self.largest, -1 - owners_of_keys(views), key_labels)
        number = anchors_with_others(groups, rows, share.total)

        def of_block(similarity: Tensor, block: slice) -> Tensor:
            return group_term(similarity, groups, self.temperature, block, number)

        return sum_over_blocks(unit_keys(views), rows, of_block)
