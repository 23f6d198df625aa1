"""What every contrastive loss shares."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from modules.losses.contrastive.contrastive_terms import check_contrastive_settings, check_views


class ContrastiveLoss(nn.Module, ABC):
    """A loss of the projections of some views of each sample, computed in fp32.

    Attributes:
        temperature: Divides every similarity.
        base_temperature: The loss is scaled by temperature / base_temperature.
        needs_subclusters: Whether it can be used only after the first recluster.
    """

    needs_subclusters = False

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

    def build(self, class_counts: Tensor, width: int) -> None:
        """Make what depends on the data, once, before the first step; nothing unless a loss says otherwise.

        Args:
            class_counts: Training samples of each class, (C,).
            width: Size d of a projection.
        """

    def classification_shares(self, labels: Tensor, num_views: int) -> Tensor | None:
        """How much of its classification loss each sample keeps, (B,) in 0..1; None if all of it.

        Args:
            labels: int64 (B,).
            num_views: Views V of each sample.
        """
        return None

    @abstractmethod
    def forward(
        self,
        views: Tensor,
        labels: Tensor,
        subclusters: Tensor | None = None,
        class_temperatures: Tensor | None = None,
    ) -> Tensor:
        """Compute the loss in fp32, whatever the precision of the inputs and under autocast.

        Args:
            views: Projections, floating point (B, V, d); normalized inside.
            labels: int64 (B,).
            subclusters: int64 (B,), numbered over all classes: no two classes share one. For the losses that use them.
            class_temperatures: Positive temperatures, floating point (C,), for the losses that use them.

        Returns:
            fp32 scalar.

        Raises:
            ValueError: Where the shapes do not fit.
        """


class ClassContrastiveLoss(ContrastiveLoss):
    """A contrastive loss that looks at views and classes alone."""

    def forward(
        self,
        views: Tensor,
        labels: Tensor,
        subclusters: Tensor | None = None,
        class_temperatures: Tensor | None = None,
    ) -> Tensor:
        """See `ContrastiveLoss.forward`."""
        check_views(views, labels=labels)
        with torch.autocast(device_type=views.device.type, enabled=False):
            return self.temperature / self.base_temperature * self.term(views, labels)

    @abstractmethod
    def term(self, views: Tensor, labels: Tensor) -> Tensor:
        """The mean over the anchors, before it is scaled.

        Args:
            views: (B, V, d).
            labels: int64 (B,).
        """
