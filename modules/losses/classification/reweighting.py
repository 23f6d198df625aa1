"""Losses around losses: class weights from class counts, and class weights as offsets."""

from abc import abstractmethod

import torch
from torch import Tensor

from modules.losses.classification.class_priors import normalized_weights
from modules.losses.classification.class_weighting import ClassWeighting
from modules.losses.classification.classification_loss import ClassificationLoss, check_range


class WrappedLoss(ClassificationLoss):
    """Any loss, with other logits and class weights than it is given."""

    def __init__(self, loss: ClassificationLoss) -> None:
        """Keep the loss."""
        super().__init__()
        self.loss = loss

    def set_epoch(self, epoch: int) -> None:
        """See `ClassificationLoss.set_epoch`."""
        super().set_epoch(epoch)
        self.loss.set_epoch(epoch)

    def forward(
        self,
        logits: Tensor,
        labels: Tensor,
        class_weights: Tensor,
        class_counts: Tensor,
        embeddings: Tensor | None = None,
        sample_weights: Tensor | None = None,
    ) -> Tensor:
        """See `ClassificationLoss.forward`."""
        logits, class_weights = self.change(logits, class_weights.float(), class_counts)
        value: Tensor = self.loss(logits, labels, class_weights, class_counts, embeddings, sample_weights)
        return value

    def probabilities(self, logits: Tensor, class_counts: Tensor) -> Tensor:
        """See `ClassificationLoss.probabilities`."""
        return self.loss.probabilities(logits, class_counts)

    def uncertainty(self, logits: Tensor, class_counts: Tensor) -> Tensor | None:
        """See `ClassificationLoss.uncertainty`."""
        return self.loss.uncertainty(logits, class_counts)

    @abstractmethod
    def change(self, logits: Tensor, class_weights: Tensor, class_counts: Tensor) -> tuple[Tensor, Tensor]:
        """What the loss gets instead.

        Args:
            logits: (B, C).
            class_weights: fp32 (C,).
            class_counts: (C,).

        Returns:
            Logits and class weights.
        """


class Reweighted(WrappedLoss):
    """Any loss with weights from the class counts, times those that it is given.

    With a later `start_epoch` this is deferred re-weighting (DRW; Cao et al., 2019, arXiv 1906.07413).
    """

    def __init__(self, loss: ClassificationLoss, weighting: ClassWeighting, start_epoch: int = 0) -> None:
        """Store the settings.

        Args:
            loss: What is weighted.
            weighting: From counts to weights; their mean over the classes with samples is made 1.
            start_epoch: First epoch with them.

        Raises:
            ValueError: If the epoch is negative.
        """
        super().__init__(loss)
        check_range("start_epoch", start_epoch, 0)
        self.weighting, self.start_epoch = weighting, start_epoch

    def change(self, logits: Tensor, class_weights: Tensor, class_counts: Tensor) -> tuple[Tensor, Tensor]:
        """See `WrappedLoss.change`."""
        if self.epoch < self.start_epoch:
            return logits, class_weights
        own = self.weighting.weights(class_counts.float().clamp(min=1))
        return logits, class_weights * normalized_weights(own, class_counts)


class WeightsAsOffsets(WrappedLoss):
    """Any loss, with the class weights it is given as offsets of the logits instead.

    ``logits - strength * log(w_c / mean w)``: a class that weighs more must be told apart by a larger margin. A class
    of weight 0 keeps it.
    """

    def __init__(self, loss: ClassificationLoss, strength: float = 1.0) -> None:
        """Store the settings.

        Args:
            loss: What gets the shifted logits, and equal weights.
            strength: Factor of the offsets, at least 0.

        Raises:
            ValueError: If it is below 0.
        """
        super().__init__(loss)
        check_range("strength", strength, 0)
        self.strength = strength

    def change(self, logits: Tensor, class_weights: Tensor, class_counts: Tensor) -> tuple[Tensor, Tensor]:
        """See `WrappedLoss.change`."""
        present = class_weights > 0
        mean = class_weights.sum() / present.sum().clamp(min=1)
        offsets = torch.where(present, class_weights / mean, torch.ones_like(class_weights)).log()
        return logits.float() - self.strength * offsets, present.float()
