"""Class weights from class counts, around any loss, from any epoch on."""

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor

from modules.losses.class_priors import normalised_weights
from modules.losses.classification import ClassificationLoss, check_range


class ClassWeighting(ABC):
    """Turns class counts into class weights."""

    @abstractmethod
    def weights(self, counts: Tensor) -> Tensor:
        """Weight each class.

        Args:
            counts: fp32 (C,), at least 1.

        Returns:
            fp32 (C,), positive; of any scale.
        """


class InverseFrequency(ClassWeighting):
    """``n_c^-power``."""

    def __init__(self, power: float = 1.0) -> None:
        """Store the setting.

        Args:
            power: 1: inversely to the count; 0.5: to its square root; 0: all alike.

        Raises:
            ValueError: If it is below 0.
        """
        check_range("power", power, 0)
        self.power = power

    def weights(self, counts: Tensor) -> Tensor:
        """See `ClassWeighting.weights`."""
        return counts**-self.power


class EffectiveNumber(ClassWeighting):
    """``(1 - beta) / (1 - beta^n_c)``, the inverse effective number of samples (Cui et al., 2019, arXiv 1901.05555)."""

    def __init__(self, beta: float = 0.999) -> None:
        """Store the setting.

        Args:
            beta: In [0, 1): 0 weighs all alike, close to 1 it is the inverse frequency.

        Raises:
            ValueError: Where it is out of range.
        """
        check_range("beta", beta, 0, below=1)
        self.beta = beta

    def weights(self, counts: Tensor) -> Tensor:
        """See `ClassWeighting.weights`."""
        if self.beta == 0:
            return torch.ones_like(counts)
        return ((1 - self.beta) / -torch.expm1(counts.double() * math.log(self.beta))).float()


class Reweighted(ClassificationLoss):
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
        super().__init__()
        check_range("start_epoch", start_epoch, 0)
        self.loss, self.weighting, self.start_epoch = loss, weighting, start_epoch

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
        if self.epoch >= self.start_epoch:
            own = normalised_weights(self.weighting.weights(class_counts.float().clamp(min=1)), class_counts)
            class_weights = class_weights.float() * own
        return self.loss(logits, labels, class_weights, class_counts, embeddings, sample_weights)  # type: ignore[no-any-return]


class WeightsAsOffsets(ClassificationLoss):
    """Any loss, with the class weights it is given as offsets of the logits instead.

    ``logits - strength * log(w_c / mean w)``: a class that weighs more must be told apart by a larger margin.
    """

    def __init__(self, loss: ClassificationLoss, strength: float = 1.0) -> None:
        """Store the settings.

        Args:
            loss: What gets the shifted logits, and equal weights.
            strength: Factor of the offsets, at least 0.

        Raises:
            ValueError: If it is below 0.
        """
        super().__init__()
        check_range("strength", strength, 0)
        self.loss, self.strength = loss, strength

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
        """See `ClassificationLoss.forward`; a class of weight 0 has no offset and keeps the weight 0."""
        weights = class_weights.float()
        present = weights > 0
        mean = weights.sum() / present.sum().clamp(min=1)
        offsets = torch.where(present, weights / mean, torch.ones_like(weights)).log()
        shifted = logits.float() - self.strength * offsets
        return self.loss(shifted, labels, present.float(), class_counts, embeddings, sample_weights)  # type: ignore[no-any-return]
