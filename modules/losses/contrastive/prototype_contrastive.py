"""Supervised prototype contrast: fixed class prototypes that are maximally separated on the sphere."""

import torch
from torch import Tensor

from base.ranges import check_range
from modules.losses.contrastive.anchor_blocks import sum_over_blocks
from modules.losses.contrastive.contrastive_loss import ClassContrastiveLoss
from modules.losses.contrastive.contrastive_terms import (
    Share,
    contrastive_term,
    others_of_group,
    owners_of_keys,
    unit_keys,
)
from modules.losses.contrastive.targeted_contrastive import uniform_targets


class PrototypeContrastiveLoss(ClassContrastiveLoss):
    """Instance contrast with a fixed prototype for each class (after SupProto; Mildenberger et al., 2025).

    For binary data with a high imbalance ratio (arXiv 2503.17024); the prototypes of two classes are opposite points of
    the sphere. Positives of an anchor are the other views of its sample and, as long as its cosine similarity with the
    prototype of its class is at most `max_cosine`, that prototype. Beyond this similarity there is no further pull, so
    that classes do not collapse to a point. The denominator contains all other anchors and all prototypes.

    Attributes:
        seen: Labels of the P classes with training samples, int64 (P,).
        prototypes: Their prototypes, fp32 (P, d).
    """

    seen: Tensor
    prototypes: Tensor
    _has_prototypes = False

    def __init__(self, max_cosine: float = 0.5, temperature: float = 0.1, base_temperature: float = 0.07) -> None:
        """Create the loss.

        Args:
            max_cosine: Largest cosine similarity at which prototypes attract anchors, in -1..1; 1 for no limit.
            temperature: Positive divisor of the cosine similarities.
            base_temperature: Positive; the loss is scaled by temperature / base_temperature.

        Raises:
            ValueError: If a setting is out of range.
        """
        super().__init__(temperature, base_temperature)
        check_range("max_cosine", max_cosine, -1, highest=1)
        self.max_cosine = max_cosine

    def build(self, class_counts: Tensor, width: int) -> None:
        """Allocate the prototypes of the classes with training samples."""
        self.register_buffer("seen", (class_counts > 0).nonzero().squeeze(1), persistent=False)
        # Computed in the first step, since a model that only predicts does not need them.
        self.register_buffer("prototypes", torch.zeros(len(self.seen), width))

    def term(self, views: Tensor, labels: Tensor, share: Share) -> Tensor:
        """See `ClassContrastiveLoss.term`."""
        if not self._has_prototypes:
            if not bool(self.prototypes.any()):
                self.prototypes.copy_(uniform_targets(*self.prototypes.shape))
            # Reading them at every step would wait for a GPU.
            self._has_prototypes = True
        keys, prototypes = unit_keys(views), self.prototypes.float()
        rows, owners = share.rows(views), owners_of_keys(views)
        with torch.no_grad():
            attracts = (labels[owners].unsqueeze(1) == self.seen) & (keys @ prototypes.T <= self.max_cosine)
        has_positive = attracts.any(dim=1) | (views.shape[1] > 1)
        number = share.total(has_positive[rows].sum())

        def of_block(similarity: Tensor, block: slice) -> Tensor:
            positives = torch.cat([others_of_group(owners, block), attracts[block]], dim=1)
            return contrastive_term(similarity, positives, block, self.temperature, number)

        return sum_over_blocks(torch.cat([keys, prototypes]), rows, of_block)
