"""K-positive contrastive loss: the same number of positives for every class."""

import torch
from torch import Tensor

from base.ranges import check_whole
from modules.losses.contrastive.contrastive_loss import ClassContrastiveLoss
from modules.losses.contrastive.contrastive_terms import contrastive_term, pairwise_similarity, same_sample


class KPositiveContrastiveLoss(ClassContrastiveLoss):
    """Supervised contrast with the same number of positives for every class (KCL; Kang et al., ICLR 2021).

    Positives of an anchor are the other views of its sample and `positives` random anchors of other samples of its
    class, or all of these if there are fewer. The denominator contains all other anchors.
    """

    def __init__(self, positives: int = 6, temperature: float = 0.1, base_temperature: float = 0.07) -> None:
        """Create the loss.

        Args:
            positives: Number of anchors drawn from other samples of the class, at least 0; with 0 only views of the
                same sample are positives. Draws use torch's global random state.
            temperature: Positive divisor of the cosine similarities.
            base_temperature: Positive; the loss is scaled by temperature / base_temperature.

        Raises:
            ValueError: If a setting is out of range.
        """
        super().__init__(temperature, base_temperature)
        check_whole("positives", positives, 0)
        self.positives = positives

    def term(self, views: Tensor, labels: Tensor) -> Tensor:
        """See `ClassContrastiveLoss.term`."""
        own = same_sample(len(labels), views.shape[1], labels.device)
        itself = torch.eye(len(own), dtype=torch.bool, device=own.device)
        positives = self.draw_positives(labels.repeat_interleave(views.shape[1]), own)
        return contrastive_term(pairwise_similarity(views), positives, ~itself, self.temperature)

    def draw_positives(self, anchor_labels: Tensor, own: Tensor) -> Tensor:
        """Draw the positives of each anchor.

        Args:
            anchor_labels: Label of each anchor, int64 (anchors,).
            own: Mask of the views of the same sample, see `same_sample`.

        Returns:
            Mask of the positives, bool (anchors, anchors).
        """
        candidates = (anchor_labels.unsqueeze(1) == anchor_labels.unsqueeze(0)) & ~own
        lots = torch.rand(candidates.shape, device=own.device).masked_fill(~candidates, -1.0)
        drawn = torch.zeros_like(own).scatter(1, lots.topk(min(self.positives, len(own)), dim=1).indices, True)
        itself = torch.eye(len(own), dtype=torch.bool, device=own.device)
        return (drawn & candidates) | (own & ~itself)
