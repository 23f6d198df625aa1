"""Contrast with fixed prototypes that lie as far from each other as they can."""

import torch
from torch import Tensor

from modules.losses.contrastive.contrastive_loss import ClassContrastiveLoss
from modules.losses.contrastive.contrastive_terms import contrastive_term, same_sample
from modules.losses.contrastive.targeted_contrastive import uniform_targets
from modules.unit_embeddings import unit_embeddings


class PrototypeContrastiveLoss(ClassContrastiveLoss):
    """Instance contrast with a fixed prototype for each class (after SupProto; Mildenberger et al., 2025).

    For two classes of very different sizes (arXiv 2503.17024). The prototypes of two classes are opposite points of the
    sphere. Positives of an anchor are its own other views and, while its cosine with the prototype of its class is at
    most `close`, that prototype: near it a class may spread instead of collapsing into a point. All other anchors and
    all prototypes are in the denominator.
    """

    seen: Tensor
    prototypes: Tensor

    def __init__(self, close: float = 0.5, temperature: float = 0.1, base_temperature: float = 0.07) -> None:
        """Store the settings.

        Args:
            close: Cosine up to which an anchor is drawn to its prototype, in -1..1; 1 always draws it.
            temperature: Divides every similarity; positive.
            base_temperature: The scale of the loss is temperature / base_temperature; positive.

        Raises:
            ValueError: Where a setting is out of range.
        """
        super().__init__(temperature, base_temperature)
        if not -1 <= close <= 1:
            raise ValueError(f"close must lie in -1..1, got {close}")
        self.close = close

    def build(self, class_counts: Tensor, width: int) -> None:
        """Make room for the prototypes of the classes with training samples."""
        self.register_buffer("seen", (class_counts > 0).nonzero().squeeze(1), persistent=False)
        # Placed at the first step: a model that only predicts does not need them.
        self.register_buffer("prototypes", torch.zeros(len(self.seen), width))

    def term(self, views: Tensor, labels: Tensor) -> Tensor:
        """See `ClassContrastiveLoss.term`."""
        if not bool(self.prototypes.any()):
            self.prototypes.copy_(uniform_targets(*self.prototypes.shape))
        anchors = unit_embeddings(views).flatten(0, 1)
        anchor_labels = labels.repeat_interleave(views.shape[1])
        similarity = anchors @ torch.cat([anchors, self.prototypes.float()]).T
        number = len(anchors)
        others = torch.ones_like(similarity, dtype=torch.bool)
        others.fill_diagonal_(False)
        to_prototype = anchor_labels.unsqueeze(1) == self.seen.unsqueeze(0)
        to_prototype = to_prototype & (similarity[:, number:] <= self.close)
        own = same_sample(len(labels), views.shape[1], labels.device)
        positives = torch.cat([own, to_prototype], dim=1) & others
        return contrastive_term(similarity, positives, others, self.temperature)
