"""Supervised contrastive loss."""

from torch import Tensor

from modules.losses.contrastive.anchor_blocks import sum_over_blocks
from modules.losses.contrastive.contrastive_loss import ClassContrastiveLoss
from modules.losses.contrastive.contrastive_terms import Share, anchors_with_others, group_term, unit_keys


class SupervisedContrastiveLoss(ClassContrastiveLoss):
    """Supervised contrastive loss (Khosla et al., 2020, arXiv 2004.11362, L_out of equation 2).

    Positives of an anchor are all other anchors of its class, including the other views of its sample. The denominator
    contains all other anchors. The mean over anchors is scaled by temperature / base_temperature. Anchors without
    positives are excluded; a batch without positives gives a zero that is connected to the graph.
    """

    def term(self, views: Tensor, labels: Tensor, share: Share) -> Tensor:
        """See `ClassContrastiveLoss.term`."""
        rows, groups = share.rows(views), labels.repeat_interleave(views.shape[1])
        number = anchors_with_others(groups, rows, share.total)

        def of_block(similarity: Tensor, block: slice) -> Tensor:
            return group_term(similarity, groups, self.temperature, block, number)

        return sum_over_blocks(unit_keys(views), rows, of_block)
