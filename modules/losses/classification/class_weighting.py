"""Class weights from class counts."""

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor

from modules.losses.classification.classification_loss import check_range


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
