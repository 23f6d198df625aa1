"""Label-aware smoothing: label smoothing that is stronger for larger classes."""

import math

import torch
from torch import Tensor

from base.ranges import check_range
from modules.losses.classification.class_priors import relative_counts
from modules.losses.classification.classification_loss import ClassificationLoss


class LabelAwareSmoothingLoss(ClassificationLoss):
    """Cross-entropy with targets smoothed by class size (Zhong et al., 2021, arXiv 2104.00466).

    The target of a sample of class y is ``1 - e_y`` for y and ``e_y / (C - 1)`` for each other class, with
    ``e_y = tail + (head - tail) * sin(pi/2 * (n_y - n_min) / (n_max - n_min))``.
    """

    def __init__(self, head: float = 0.3, tail: float = 0.0) -> None:
        """Create the loss.

        Args:
            head: Smoothing of the largest class, in [0, 1).
            tail: Smoothing of the smallest class, in [0, 1); of all classes if their sizes are equal.

        Raises:
            ValueError: If a setting is out of range.
        """
        super().__init__()
        check_range("head", head, 0, below=1)
        check_range("tail", tail, 0, below=1)
        self.head, self.tail = head, tail

    def weighted_losses(
        self, logits: Tensor, labels: Tensor, class_weights: Tensor, class_counts: Tensor, embeddings: Tensor | None
    ) -> Tensor:
        """See `ClassificationLoss.weighted_losses`."""
        seen = class_counts > 0
        relative = relative_counts(class_counts)
        smallest = torch.where(seen, relative, torch.ones_like(relative)).min()
        rank = (relative - smallest) / (1 - smallest).clamp(min=torch.finfo(relative.dtype).tiny)
        smoothing = self.tail + (self.head - self.tail) * torch.sin(math.pi / 2 * rank.clamp(0, 1))
        log_probability = logits.log_softmax(dim=1).masked_fill(~seen, 0.0)
        own = log_probability.gather(1, labels.unsqueeze(1)).squeeze(1)
        others = (log_probability.sum(dim=1) - own) / (seen.sum() - 1).clamp(min=1)
        spread = torch.where(seen.sum() > 1, smoothing[labels], torch.zeros_like(own))
        return -((1 - spread) * own + spread * others) * class_weights[labels]
