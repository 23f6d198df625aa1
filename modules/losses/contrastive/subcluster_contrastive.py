"""Sub-cluster-balanced contrastive loss."""

import torch
from torch import Tensor

from base.ranges import check_range
from modules.losses.contrastive.contrastive_loss import ContrastiveLoss
from modules.losses.contrastive.contrastive_terms import (
    check_views,
    contrastive_term,
    group_term,
    pairwise_similarity,
    same_sample,
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
    ) -> Tensor:
        """Compute the loss in fp32, whatever the precision of the inputs and under autocast.

        Args:
            views: Projections, floating point (B, V, d); normalized by the loss.
            labels: Labels, int64 (B,) in 0..C-1.
            subclusters: Sub-cluster of each sample, int64 (B,), numbered over all classes, so that no two classes share
                a number.
            class_temperatures: Positive temperature of each class in L2, floating point (C,).

        Returns:
            fp32 scalar.

        Raises:
            ValueError: If a shape is invalid, or sub-clusters or temperatures are missing.
        """
        if subclusters is None or class_temperatures is None:
            raise ValueError("subclusters, class_temperatures: expected both tensors, got None.")
        check_views(views, labels=labels, subclusters=subclusters)
        if class_temperatures.ndim != 1:
            raise ValueError(f"class_temperatures: expected shape (C,), got {tuple(class_temperatures.shape)}.")
        with torch.autocast(device_type=views.device.type, enabled=False):
            similarity = pairwise_similarity(views)
            inner_term = group_term(similarity, subclusters.repeat_interleave(views.shape[1]), self.temperature)
            class_term = self._class_term(similarity, labels, subclusters, class_temperatures.float())
            return self.temperature / self.base_temperature * inner_term + self.class_term_weight * class_term

    @staticmethod
    def _class_term(similarity: Tensor, labels: Tensor, subclusters: Tensor, class_temperatures: Tensor) -> Tensor:
        """Contrast each anchor with the other sub-clusters of its class (L2)."""
        view_count = len(similarity) // len(labels)
        anchor_labels = labels.repeat_interleave(view_count)
        anchor_subclusters = subclusters.repeat_interleave(view_count)
        own_views = same_sample(len(labels), view_count, labels.device).fill_diagonal_(False)
        other_subcluster = anchor_subclusters.unsqueeze(1) != anchor_subclusters.unsqueeze(0)
        same_class = anchor_labels.unsqueeze(1) == anchor_labels.unsqueeze(0)
        return contrastive_term(
            similarity,
            positives=(same_class & other_subcluster) | own_views,
            denominators=other_subcluster | own_views,
            temperatures=class_temperatures[anchor_labels].unsqueeze(1),
        )
