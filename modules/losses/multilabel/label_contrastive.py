"""Contrast of samples that may have several labels, over the sub-clusters of each label."""

from __future__ import annotations

import torch
from torch import Tensor

from base.ranges import check_range
from modules.losses.contrastive.anchor_blocks import anchor_blocks, sum_over_blocks
from modules.losses.contrastive.contrastive_loss import ContrastiveLoss
from modules.losses.contrastive.contrastive_terms import (
    WHOLE,
    Share,
    check_views,
    contrastive_term,
    other_keys,
    others_of_group,
    owners_of_keys,
    unit_keys,
)


class LabelContrastiveLoss(ContrastiveLoss):
    """Sub-cluster contrast (Hou et al., ICCV 2023, arXiv 2306.15925) for samples with any number of labels.

    ``L = temperature / base_temperature * L1 + class_term_weight * L2``, each term a mean over anchors. A sample is in
    one sub-cluster of each label that it has:

    - In L1 positives are the other views that share a sub-cluster with the anchor, each as often as it shares one. The
      denominator contains all other views.
    - In L2, at the mean temperature of the anchor's labels, positives are the views that share a label but no
      sub-cluster, each as often as it shares a label. The denominator contains all views that share no sub-cluster.

    In both, the other views of the anchor's sample are positives. A label that is not known of a sample is not shared.
    Before the first recluster each label is one sub-cluster. With one label a sample, the loss is that of
    `SubclusterContrastiveLoss`.
    """

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
            labels: 1 the sample has the label, 0 it does not, -1 not known, integers (B, L).
            subclusters: Which of K sub-clusters each sample is in, bool (B, K).
            class_temperatures: Positive temperature of each label in L2, floating point (L,).
            share: Samples whose views are the anchors; the values of shares add up to the loss.

        Returns:
            fp32 scalar; 0 if there is no anchor.

        Raises:
            ValueError: If a shape is invalid, or sub-clusters or temperatures are missing.
        """
        if subclusters is None or class_temperatures is None:
            raise ValueError("subclusters, class_temperatures: expected both tensors, got None.")
        check_views(views, labels=labels[:, 0], subclusters=subclusters[:, 0])
        with torch.autocast(device_type=views.device.type, enabled=False):
            rows, number = share.rows(views), views.shape[1]
            has = (labels == 1).float().repeat_interleave(number, dim=0)
            members = subclusters.float().repeat_interleave(number, dim=0)
            owners = owners_of_keys(views)
            of_keys = (has @ class_temperatures.float()) / has.sum(dim=1).clamp(min=1)
            temperatures = torch.where(of_keys > 0, of_keys, self.temperature).unsqueeze(1)

            shares_subcluster = (members @ members.sum(dim=0) > members.sum(dim=1)) | (number > 1)
            with_inner = share.total(shares_subcluster[rows].sum())

            def shares_label_only(block: slice) -> Tensor:
                """Number of anchors with a positive in the class term."""
                if number > 1:
                    return torch.ones_like(owners[block]).sum()
                return ((has[block] @ has.T > 0) & (members[block] @ members.T == 0)).any(dim=1).sum()

            with_outer = share.total(sum(map(shares_label_only, anchor_blocks(has, rows)), owners.new_zeros(())))

            def of_block(similarity: Tensor, block: slice) -> Tensor:
                own_views, others = others_of_group(owners, block), other_keys(len(has), block, has.device)
                shared_subclusters = members[block] @ members.T
                inner_term = contrastive_term(
                    similarity,
                    positives=torch.where(own_views, shared_subclusters.clamp(min=1), shared_subclusters * others),
                    denominators=block,
                    temperatures=self.temperature,
                    number=with_inner,
                )
                apart = (shared_subclusters == 0) & others | own_views
                class_term = contrastive_term(
                    similarity,
                    positives=torch.where(own_views, 1.0, has[block] @ has.T * apart),
                    denominators=apart,
                    temperatures=temperatures[block],
                    number=with_outer,
                )
                return self.temperature / self.base_temperature * inner_term + self.class_term_weight * class_term

            return sum_over_blocks(unit_keys(views), rows, of_block)
