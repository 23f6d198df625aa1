"""Wrappers of other losses: class weights from class counts, and class weights as logit offsets."""

from abc import abstractmethod

import torch
from torch import Tensor

from base.ranges import check_range, check_whole
from modules.losses.classification.class_priors import normalized_weights
from modules.losses.classification.class_weighting import ClassWeighting
from modules.losses.classification.classification_loss import ClassificationLoss


class WrappedLoss(ClassificationLoss):
    """Base class of losses that call another loss with changed logits and class weights."""

    def __init__(self, loss: ClassificationLoss) -> None:
        """Wrap a loss.

        Args:
            loss: Loss to call.
        """
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

    @property
    def removed_prior(self) -> float:
        """See `ClassificationLoss.removed_prior`."""
        return self.loss.removed_prior

    def weights_and_offsets(self, class_weights: Tensor, class_counts: Tensor) -> tuple[Tensor, Tensor]:
        """See `ClassificationLoss.weights_and_offsets`."""
        weights = class_weights.float()
        logits, weights = self.change(torch.zeros_like(weights).unsqueeze(0), weights, class_counts)
        weights, offsets = self.loss.weights_and_offsets(weights, class_counts)
        return weights, logits[0] + offsets

    @property
    def has_uncertainty(self) -> bool:
        """Whether the loss of the logits defines an uncertainty."""
        return self.loss.has_uncertainty

    def uncertainty(self, logits: Tensor, class_counts: Tensor) -> Tensor | None:
        """See `ClassificationLoss.uncertainty`."""
        return self.loss.uncertainty(logits, class_counts)

    @abstractmethod
    def change(self, logits: Tensor, class_weights: Tensor, class_counts: Tensor) -> tuple[Tensor, Tensor]:
        """Change the inputs of the wrapped loss.

        Args:
            logits: Logits, (B, C).
            class_weights: Weight of each class, fp32 (C,).
            class_counts: Training samples of each class, (C,).

        Returns:
            Logits, (B, C), and class weights, fp32 (C,).
        """


class Reweighted(WrappedLoss):
    """Any loss with its class weights multiplied by weights computed from the class counts.

    With a `start_epoch` above 0 this is deferred re-weighting (DRW; Cao et al., 2019, arXiv 1906.07413).
    """

    def __init__(self, loss: ClassificationLoss, weighting: ClassWeighting, start_epoch: int = 0) -> None:
        """Wrap a loss.

        Args:
            loss: Loss to weight.
            weighting: Computes weights from class counts; they are scaled to a mean of 1 over classes with samples.
            start_epoch: First epoch in which the weights are used, at least 0.

        Raises:
            ValueError: If `start_epoch` is negative.
        """
        super().__init__(loss)
        check_whole("start_epoch", start_epoch, 0)
        self.weighting, self.start_epoch = weighting, start_epoch

    def change(self, logits: Tensor, class_weights: Tensor, class_counts: Tensor) -> tuple[Tensor, Tensor]:
        """See `WrappedLoss.change`."""
        if self.epoch < self.start_epoch:
            return logits, class_weights
        own = self.weighting.weights(class_counts.float().clamp(min=1))
        return logits, class_weights * normalized_weights(own, class_counts)


class WeightsAsOffsets(WrappedLoss):
    """Any loss with class weights turned into logit offsets.

    The loss gets the logits ``z_c - strength * log(w_c / mean w)`` and equal weights, so that a class of larger weight
    needs a larger margin. A class of weight 0 keeps its logit and its weight.
    """

    def __init__(self, loss: ClassificationLoss, strength: float = 1.0) -> None:
        """Wrap a loss.

        Args:
            loss: Loss to call with the shifted logits and equal weights.
            strength: Factor of the offsets, at least 0.

        Raises:
            ValueError: If `strength` is negative or not finite.
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
