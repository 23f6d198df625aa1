"""K-positive contrastive loss."""

import torch
from torch import Tensor

from modules.losses.classification.classification_loss import check_range
from modules.losses.contrastive.contrastive_loss import ClassContrastiveLoss
from modules.losses.contrastive.contrastive_terms import contrastive_term, pairwise_similarity, same_sample


class KPositiveContrastiveLoss(ClassContrastiveLoss):
    """Supervised contrast with as many positives in every class (KCL; Kang et al., 2021, ICLR).

    Positives of an anchor are its own other views and `positives` anchors drawn from the others of its class, or all of
    these where there are fewer; all anchors but itself are in the denominator.
    """

    def __init__(self, positives: int = 6, temperature: float = 0.1, base_temperature: float = 0.07) -> None:
        """Store the settings.

        Args:
            positives: Anchors of the class that are drawn, from torch's random state, at least 0; with 0 only views of
                one sample attract each other.
            temperature: Divides every similarity; positive.
            base_temperature: The scale of the loss is temperature / base_temperature; positive.

        Raises:
            ValueError: Where a setting is out of range.
        """
        super().__init__(temperature, base_temperature)
        check_range("positives", positives, 0)
        self.positives = positives

    def term(self, views: Tensor, labels: Tensor) -> Tensor:
        """See `ClassContrastiveLoss.term`."""
        own = same_sample(len(labels), views.shape[1], labels.device)
        itself = torch.eye(len(own), dtype=torch.bool, device=own.device)
        positives = self.draw_positives(labels.repeat_interleave(views.shape[1]), own)
        return contrastive_term(pairwise_similarity(views), positives, ~itself, self.temperature)

    def draw_positives(self, anchor_labels: Tensor, own: Tensor) -> Tensor:
        """Each anchor's other views and some anchors of its class.

        Args:
            anchor_labels: int64 (anchors,).
            own: See `same_sample`.

        Returns:
            bool (anchors, anchors).
        """
        candidates = (anchor_labels.unsqueeze(1) == anchor_labels.unsqueeze(0)) & ~own
        lots = torch.rand(candidates.shape, device=own.device).masked_fill(~candidates, -1.0)
        drawn = torch.zeros_like(own).scatter(1, lots.topk(min(self.positives, len(own)), dim=1).indices, True)
        itself = torch.eye(len(own), dtype=torch.bool, device=own.device)
        return (drawn & candidates) | (own & ~itself)
