"""Supervised contrastive loss."""

from torch import Tensor

from modules.losses.contrastive.contrastive_loss import ClassContrastiveLoss
from modules.losses.contrastive.contrastive_terms import Share, group_term, pairwise_similarity


class SupervisedContrastiveLoss(ClassContrastiveLoss):
    """Supervised contrastive loss (Khosla et al., 2020, arXiv 2004.11362, L_out of equation 2).

    Positives of an anchor are all other anchors of its class, including the other views of its sample. The denominator
    contains all other anchors. The mean over anchors is scaled by temperature / base_temperature. Anchors without
    positives are excluded; a batch without positives gives a zero that is connected to the graph.
    """

    def term(self, views: Tensor, labels: Tensor, share: Share) -> Tensor:
        """See `ClassContrastiveLoss.term`."""
        number = views.shape[1]
        similarity = pairwise_similarity(views, share)
        return group_term(
            similarity, labels.repeat_interleave(number), self.temperature, share.rows(number), share.total
        )
