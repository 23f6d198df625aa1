"""Supervised prototype contrast: fixed class prototypes that are maximally separated on the sphere."""

import torch
from torch import Tensor

from base.ranges import check_range
from modules.losses.contrastive.contrastive_loss import ClassContrastiveLoss
from modules.losses.contrastive.contrastive_terms import Share, contrastive_term, other_keys, same_sample
from modules.losses.contrastive.targeted_contrastive import uniform_targets
from modules.unit_embeddings import unit_embeddings


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
        keys, rows = unit_embeddings(views).flatten(0, 1), share.rows(views.shape[1])
        similarity = keys[rows] @ torch.cat([keys, self.prototypes.float()]).T
        number = len(keys)
        others = torch.ones_like(similarity, dtype=torch.bool)
        others[:, :number] = other_keys(number, rows, labels.device)
        anchor_labels = labels.repeat_interleave(views.shape[1])[rows]
        to_prototype = anchor_labels.unsqueeze(1) == self.seen.unsqueeze(0)
        to_prototype = to_prototype & (similarity[:, number:] <= self.max_cosine)
        positives = torch.cat([same_sample(views, share), to_prototype], dim=1) & others
        return contrastive_term(similarity, positives, others, self.temperature, total=share.total)
