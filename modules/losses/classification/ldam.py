"""Label-distribution-aware margin (LDAM) loss."""

import torch
from torch import Tensor

from base.ranges import check_range
from modules.losses.classification.class_priors import relative_counts
from modules.losses.classification.classification_loss import ClassificationLoss


class LDAMLoss(ClassificationLoss):
    """Cross-entropy with larger margins for smaller classes (Cao et al., 2019, arXiv 1906.07413).

    The logit of a sample's class c is lowered by ``scale * max_margin * (n_min / n_c)^(1/4)``. In the paper logits are
    cosines times the scale; set `model.head.cosine_scale` for these. For deferred re-weighting (LDAM-DRW) wrap this
    loss in `Reweighted`.
    """

    def __init__(self, max_margin: float = 0.5, scale: float = 30.0) -> None:
        """Create the loss.

        Args:
            max_margin: Margin of the smallest class, at least 0.
            scale: Factor of the margins, at least 0; equal to `model.head.cosine_scale` in the paper.

        Raises:
            ValueError: If a setting is out of range.
        """
        super().__init__()
        check_range("max_margin", max_margin, 0)
        check_range("scale", scale, 0)
        self.max_margin, self.scale = max_margin, scale

    def adjust(self, logits: Tensor, labels: Tensor, class_counts: Tensor) -> Tensor:
        """Subtract the margin of each sample's class."""
        relative = relative_counts(class_counts)
        smallest = torch.where(class_counts > 0, relative, torch.ones_like(relative)).min()
        margins = self.scale * self.max_margin * (smallest / relative) ** 0.25
        own = torch.zeros_like(logits).scatter(1, labels.unsqueeze(1), margins[labels].unsqueeze(1))
        return logits - own
