"""Supervised minority contrast: labels define the positives of all classes except the largest."""

import torch
from torch import Tensor

from modules.losses.contrastive.contrastive_loss import ClassContrastiveLoss
from modules.losses.contrastive.contrastive_terms import (
    Share,
    contrastive_term,
    other_keys,
    pairwise_similarity,
    same_group,
    same_sample,
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
        rows = share.rows(views.shape[1])
        key_labels = labels.repeat_interleave(views.shape[1])
        others = other_keys(len(key_labels), rows, labels.device)
        of_largest = (key_labels[rows] == self.largest).unsqueeze(1)
        positives = torch.where(of_largest, same_sample(views, share), same_group(key_labels, rows)) & others
        similarity = pairwise_similarity(views, share)
        return contrastive_term(similarity, positives, rows, self.temperature, total=share.total)
