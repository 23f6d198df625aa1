"""Sub-cluster-balanced contrastive loss."""

import torch
from torch import Tensor

from base.ranges import check_range
from modules.losses.contrastive.anchor_blocks import sum_over_blocks
from modules.losses.contrastive.contrastive_loss import ContrastiveLoss
from modules.losses.contrastive.contrastive_terms import (
    WHOLE,
    Share,
    check_views,
    contrastive_term,
    group_members,
    group_term,
    others_of_group,
    owners_of_keys,
    same_group,
    unit_keys,
)


class SubclusterContrastiveLoss(ContrastiveLoss):
    """Sub-cluster-balanced contrastive loss (Hou et al., ICCV 2023, arXiv 2306.15925).

    ``L = temperature / base_temperature * L1 + class_term_weight * L2``, each term a mean over anchors:

    - In L1 positives are the other anchors of the anchor's sub-cluster, including the other views of its sample. The
      denominator contains all other anchors.
    - In L2, at the temperature of the class, positives are the anchors of other sub-clusters of the class and the other
      views of the sample. The denominator contains all anchors of other sub-clusters and the other views of the sample.

    Anchors without positives are excluded from the mean of a term. A term in which no anchor has a positive is a zero
    that is connected to the graph.
    """

    needs_subclusters = True

    def __init__(
        self, temperature: float = 0.1, base_temperature: float = 0.07, class_term_weight: float = 0.25
    ) -> None:
        """Create the loss.

        Args:
            temperature: Positive divisor of the cosine similarities in L1.
            base_temperature: Positive; L1 is scaled by temperature / base_temperature.
            class_term_weight: Weight of L2, at least 0.

        Raises:
            ValueError: If a setting is out of range.
        """
        super().__init__(temperature, base_temperature)
        check_range("class_term_weight", class_term_weight, 0)
        self.class_term_weight = class_term_weight

    def forward(
        self,
        views: Tensor,
        labels: Tensor,
        subclusters: Tensor | None = None,
        class_temperatures: Tensor | None = None,
        share: Share = WHOLE,
    ) -> Tensor:
        """Compute the loss in fp32, whatever the precision of the inputs and under autocast.

        Args:
            views: Projections, floating point (B, V, d); normalized by the loss.
            labels: Labels, int64 (B,) in 0..C-1.
            subclusters: Sub-cluster of each sample, int64 (B,), numbered over all classes, so that no two classes share
                a number.
            class_temperatures: Positive temperature of each class in L2, floating point (C,).
            share: Samples whose views are the anchors; the values of shares add up to the loss.

        Returns:
            fp32 scalar; 0 if there is no anchor.

        Raises:
            ValueError: If a shape is invalid, or sub-clusters or temperatures are missing.
        """
        if subclusters is None or class_temperatures is None:
            raise ValueError("subclusters, class_temperatures: expected both tensors, got None.")
        check_views(views, labels=labels, subclusters=subclusters)
        if class_temperatures.ndim != 1:
            raise ValueError(f"class_temperatures: expected shape (C,), got {tuple(class_temperatures.shape)}.")
        with torch.autocast(device_type=views.device.type, enabled=False):
            rows, owners = share.rows(views), owners_of_keys(views)
            key_labels, key_subclusters = labels[owners], subclusters[owners]
            temperatures = class_temperatures.float()[key_labels].unsqueeze(1)
            members = group_members(key_subclusters)
            outside = group_members(key_labels) - members + views.shape[1] - 1
            number = share.total((members[rows] > 1).sum())
            number_outside = share.total((outside[rows] > 0).sum())

            def of_block(similarity: Tensor, block: slice) -> Tensor:
                inner_term = group_term(similarity, key_subclusters, self.temperature, block, number)
                # The class term contrasts each anchor with the other sub-clusters of its class (L2).
                contrasted = ~same_group(key_subclusters, block) | others_of_group(owners, block)
                # Other views of the sample are of its class, too.
                class_term = contrastive_term(
                    similarity,
                    positives=same_group(key_labels, block) & contrasted,
                    denominators=contrasted,
                    temperatures=temperatures[block],
                    number=number_outside,
                )
                return self.temperature / self.base_temperature * inner_term + self.class_term_weight * class_term

            return sum_over_blocks(unit_keys(views), rows, of_block)
