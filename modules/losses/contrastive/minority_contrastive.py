"""Supervised minority contrast: labels define the positives of all classes except the largest."""

import torch
from torch import Tensor

from modules.losses.contrastive.contrastive_loss import ClassContrastiveLoss
from modules.losses.contrastive.contrastive_terms import contrastive_term, pairwise_similarity, same_sample


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

    def term(self, views: Tensor, labels: Tensor) -> Tensor:
        """See `ClassContrastiveLoss.term`."""
        own = same_sample(len(labels), views.shape[1], labels.device)
        anchor_labels = labels.repeat_interleave(views.shape[1])
        itself = torch.eye(len(own), dtype=torch.bool, device=own.device)
        same_class = anchor_labels.unsqueeze(1) == anchor_labels.unsqueeze(0)
        positives = torch.where((anchor_labels == self.largest).unsqueeze(1), own, same_class) & ~itself
        return contrastive_term(pairwise_similarity(views), positives, ~itself, self.temperature)
