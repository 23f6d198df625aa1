"""Base classes of the contrastive losses."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from modules.losses.contrastive.contrastive_terms import WHOLE, Share, check_contrastive_settings, check_views


class ContrastiveLoss(nn.Module, ABC):
    """Base class of losses that contrast the projections of V views of each sample, computed in fp32.

    Attributes:
        temperature: Divisor of the cosine similarities.
        base_temperature: The loss is scaled by temperature / base_temperature.
        needs_subclusters: Whether the loss requires sub-clusters, known after the first recluster.
    """

    needs_subclusters = False

    def __init__(self, temperature: float = 0.1, base_temperature: float = 0.07) -> None:
        """Create the loss.

        Args:
            temperature: Positive divisor of the cosine similarities.
            base_temperature: Positive; the loss is scaled by temperature / base_temperature.

        Raises:
            ValueError: If a setting is out of range.
        """
        super().__init__()
        check_contrastive_settings(temperature, base_temperature)
        self.temperature = temperature
        self.base_temperature = base_temperature

    def build(self, class_counts: Tensor, width: int) -> None:
        """Create parameters and buffers that depend on the data, once, before the first step; by default none.

        Args:
            class_counts: Training samples of each class, (C,).
            width: Size d of a projection.
        """

    def classification_shares(self, labels: Tensor, num_views: int) -> Tensor | None:
        """Factor of each sample's classification loss; by default none.

        Args:
            labels: Labels, int64 (B,).
            num_views: Number of views V.

        Returns:
            (B,) in 0..1; None leaves the classification loss unchanged.
        """
        return None

    @abstractmethod
    def forward(
        self,
        views: Tensor,
        labels: Tensor,
        subclusters: Tensor | None = None,
        class_temperatures: Tensor | None = None,
        share: Share = WHOLE,
    ) -> Tensor:
        """Compute the loss in fp32, whatever the precision of the inputs and under autocast.

        The time is proportional to the number of anchors times the number of keys.

        Args:
            views: Projections, floating point (B, V, d); normalized by the loss.
            labels: Labels, int64 (B,).
            subclusters: Sub-cluster of each sample, int64 (B,), numbered over all classes; required by some losses.
            class_temperatures: Positive temperature of each class, floating point (C,); required by some losses.
            share: Samples whose views are the anchors; the values of shares add up to the loss. The draws and the
                changes of buffers are those of the whole batch.

        Returns:
            fp32 scalar; 0 if there is no anchor.

        Raises:
            ValueError: If a shape is invalid.
        """


class ClassContrastiveLoss(ContrastiveLoss):
    """Base class of contrastive losses that depend on views and labels only."""

    def forward(
        self,
        views: Tensor,
        labels: Tensor,
        subclusters: Tensor | None = None,
        class_temperatures: Tensor | None = None,
        share: Share = WHOLE,
    ) -> Tensor:
        """See `ContrastiveLoss.forward`."""
        check_views(views, labels=labels)
        with torch.autocast(device_type=views.device.type, enabled=False):
            return self.temperature / self.base_temperature * self.term(views, labels, share)

    @abstractmethod
    def term(self, views: Tensor, labels: Tensor, share: Share) -> Tensor:
        """Sum of the losses of the anchors, divided by their number in all shares, before scaling.

        Args:
            views: Projections, floating point (B, V, d).
            labels: Labels, int64 (B,).
            share: Samples whose views are the anchors.

        Returns:
            fp32 scalar.
        """
