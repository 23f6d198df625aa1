"""Supervised contrastive loss, used while the embedding warms up."""

import torch
from torch import Tensor, nn

from modules.losses.contrastive_terms import (
    check_contrastive_settings,
    check_views,
    group_term,
    pairwise_similarity,
)


class SupervisedContrastiveLoss(nn.Module):
    """Supervised contrastive loss (Khosla et al., 2020, arXiv 2004.11362, L_out of equation 2).

    Positives of an anchor are all other anchors of its class, its own other views among them; all anchors but
    itself are in the denominator. The mean over anchors is scaled by temperature / base_temperature. Anchors
    without a positive are left out; a batch without any positive gives a zero that is connected to the graph.
    """

    def __init__(self, temperature: float = 0.1, base_temperature: float = 0.07) -> None:
        """Store the settings.

        Args:
            temperature: Divides every similarity; positive.
            base_temperature: The scale of the loss is temperature / base_temperature; positive.

        Raises:
            ValueError: Where a setting is out of range.
        """
        super().__init__()
        check_contrastive_settings(temperature, base_temperature)
        self.temperature = temperature
        self.base_temperature = base_temperature

    def forward(
        self,
        views: Tensor,
        labels: Tensor,
        subclusters: Tensor | None = None,
        class_temperatures: Tensor | None = None,
    ) -> Tensor:
        """Compute the loss in fp32, whatever the precision of the inputs and under autocast.

        Args:
            views: Projections, floating point (B, V, d); normalised inside.
            labels: int64 (B,).
            subclusters: Unused; here so that both contrastive losses are called alike.
            class_temperatures: Unused, for the same reason.

        Returns:
            fp32 scalar.

        Raises:
            ValueError: Where the shapes do not fit.
        """
        check_views(views, labels=labels)
        with torch.autocast(device_type=views.device.type, enabled=False):
            similarity = pairwise_similarity(views)
            anchor_labels = labels.repeat_interleave(views.shape[1])
            term = group_term(similarity, anchor_labels, self.temperature)
            return self.temperature / self.base_temperature * term
