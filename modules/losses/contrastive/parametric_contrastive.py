"""Parametric contrastive loss: contrast with learned class centers and a queue of earlier projections."""

import torch
from torch import Tensor, nn

from base.ranges import check_range, check_whole
from modules.losses.contrastive.anchor_blocks import sum_over_blocks
from modules.losses.contrastive.contrastive_loss import ClassContrastiveLoss
from modules.losses.contrastive.contrastive_terms import (
    Share,
    anchors_with_others,
    contrastive_term,
    other_keys,
    others_of_group,
    unit_keys,
)
from modules.unit_embeddings import unit_embeddings


class ParametricContrastiveLoss(ClassContrastiveLoss):
    """Supervised contrast with learned centers and a queue (PaCo; Cui et al., 2021, arXiv 2107.12028).

    Positives of an anchor are the center of its class, with weight 1, and the other anchors and queued projections of
    its class, with weight `alpha` each. The denominator contains all other anchors, queued projections and centers of
    all classes, so that rare classes are always represented. Unlike in the paper, projections in the queue come from
    the encoder itself instead of a momentum encoder, and centers have unit length.

    Attributes:
        centers: Class centers, (C, d), created by `build`.
        seen: Labels of the classes with training samples, int64.
        queue: Projections of earlier batches, newest first, (queue_size, d).
        queue_labels: Their labels, int64 (queue_size,); -1 in empty places.
    """

    centers: nn.Parameter
    seen: Tensor
    queue: Tensor
    queue_labels: Tensor

    def __init__(
        self,
        alpha: float = 0.05,
        queue_size: int = 1024,
        temperature: float = 0.1,
        base_temperature: float = 0.1,
    ) -> None:
        """Create the loss.

        Args:
            alpha: Weight of an anchor or queued projection relative to a center, at least 0.
            queue_size: Number of projections kept from earlier batches, at least 0.
            temperature: Positive divisor of the cosine similarities.
            base_temperature: Positive; the loss is scaled by temperature / base_temperature.

        Raises:
            ValueError: If a setting is out of range.
        """
        super().__init__(temperature, base_temperature)
        check_range("alpha", alpha, 0)
        check_whole("queue_size", queue_size, 0)
        self.alpha, self.queue_size = alpha, queue_size

    def build(self, class_counts: Tensor, width: int) -> None:
        """Initialize the centers at random and the queue as empty."""
        self.centers = nn.Parameter(torch.randn(len(class_counts), width))
        self.register_buffer("seen", (class_counts > 0).nonzero().squeeze(1), persistent=False)
        self.register_buffer("queue", torch.zeros(self.queue_size, width))
        self.register_buffer("queue_labels", torch.full((self.queue_size,), -1))

    def term(self, views: Tensor, labels: Tensor, share: Share) -> Tensor:
        """See `ClassContrastiveLoss.term`."""
        keys, rows = unit_keys(views), share.rows(views)
        key_labels = labels.repeat_interleave(views.shape[1])
        columns = torch.cat([keys, self.queue, unit_embeddings(self.centers)[self.seen]])
        column_labels = torch.cat([key_labels, self.queue_labels, self.seen])
        weights = torch.full_like(column_labels, self.alpha, dtype=torch.float32)
        weights[len(keys) + len(self.queue) :] = 1.0
        used = column_labels >= 0
        number = anchors_with_others(column_labels, rows, share.total)

        def of_block(similarity: Tensor, block: slice) -> Tensor:
            positives = others_of_group(column_labels, block) * weights
            others = other_keys(len(columns), block, columns.device) & used
            return contrastive_term(similarity, positives, others, self.temperature, number)

        value = sum_over_blocks(columns, rows, of_block)
        self._enqueue(keys.detach(), key_labels)
        return value

    @torch.no_grad()
    def _enqueue(self, keys: Tensor, key_labels: Tensor) -> None:
        """Add the projections of a batch, in place of the oldest ones."""
        self.queue.copy_(torch.cat([keys, self.queue])[: self.queue_size])
        self.queue_labels.copy_(torch.cat([key_labels, self.queue_labels])[: self.queue_size])
