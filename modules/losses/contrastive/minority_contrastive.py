"""Supervised contrast of all classes but the largest."""

import torch
from torch import Tensor

from modules.losses.contrastive.contrastive_loss import ClassContrastiveLoss
from modules.losses.contrastive.contrastive_terms import contrastive_term, pairwise_similarity, same_sample


class MinorityContrastiveLoss(ClassContrastiveLoss):
    """Supervised contrast for small classes, instance contrast for the largest (SupMin; Mildenberger et al., 2025).

    For two classes of very different sizes (arXiv 2503.17024): under supervised contrast the large class collapses into
    one point. Positives of an anchor of the largest class are its own other views alone, of any other class all anchors
    of its class; all anchors but itself are in the denominator.
    """

    largest: Tensor

    def build(self, class_counts: Tensor, width: int) -> None:
        """Find the largest class, the first of several."""
        self.register_buffer("largest", class_counts.argmax(), persistent=False)

    def term(self, views: Tensor, labels: Tensor) -> Tensor:
        """See `ClassContrastiveLoss.term`."""
        own = same_sample(len(labels), views.shape[1], labels.device)
        anchor_labels = labels.repeat_interleave(views.shape[1])
        itself = torch.eye(len(own), dtype=torch.bool, device=own.device)
        same_class = anchor_labels.unsqueeze(1) == anchor_labels.unsqueeze(0)
        positives = torch.where((anchor_labels == self.largest).unsqueeze(1), own, same_class) & ~itself
        return contrastive_term(pairwise_similarity(views), positives, ~itself, self.temperature)
