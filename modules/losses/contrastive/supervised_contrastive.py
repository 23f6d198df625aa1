"""Supervised contrastive loss, used while the embedding warms up."""

from torch import Tensor

from modules.losses.contrastive.contrastive_loss import ClassContrastiveLoss
from modules.losses.contrastive.contrastive_terms import group_term, pairwise_similarity


class SupervisedContrastiveLoss(ClassContrastiveLoss):
    """Supervised contrastive loss (Khosla et al., 2020, arXiv 2004.11362, L_out of equation 2).

    Positives of an anchor are all other anchors of its class, its own other views among them; all anchors but
    itself are in the denominator. The mean over anchors is scaled by temperature / base_temperature. Anchors
    without a positive are left out; a batch without any positive gives a zero that is connected to the graph.
    """

    def term(self, views: Tensor, labels: Tensor) -> Tensor:
        """See `ClassContrastiveLoss.term`."""
        return group_term(pairwise_similarity(views), labels.repeat_interleave(views.shape[1]), self.temperature)
