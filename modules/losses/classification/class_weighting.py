"""Class weights computed from class counts."""

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor

from base.ranges import check_range


class ClassWeighting(ABC):
    """Base class of rules that compute class weights from class counts."""

    @abstractmethod
    def weights(self, counts: Tensor) -> Tensor:
        """Compute the weight of each class.

        Args:
            counts: Training samples of each class, fp32 (C,), at least 1.

        Returns:
            Positive weights on an arbitrary scale, fp32 (C,).
        """


class InverseFrequency(ClassWeighting):
    """Weights ``n_c^-power``, n_c the training samples of class c."""

    def __init__(self, power: float = 1.0) -> None:
        """Create the weighting.

        Args:
            power: Exponent of the class count, at least 0. 1 weights classes by inverse frequency, 0.5 by the inverse
                square root of the frequency, 0 equally.

        Raises:
            ValueError: If `power` is negative or not finite.
        """
        check_range("power", power, 0)
        self.power = power

    def weights(self, counts: Tensor) -> Tensor:
        """See `ClassWeighting.weights`."""
        return counts**-self.power


class EffectiveNumber(ClassWeighting):
    """Weights ``(1 - beta) / (1 - beta^n_c)``, the inverse of the effective number of samples.

    Class-balanced loss (Cui et al., 2019, arXiv 1901.05555).
    """

    def __init__(self, beta: float = 0.999) -> None:
        """Create the weighting.

        Args:
            beta: Overlap of samples, in [0, 1). 0 weights all classes equally; values close to 1 approach inverse
                frequency.

        Raises:
            ValueError: If `beta` is out of range.
        """
        check_range("beta", beta, 0, below=1)
        self.beta = beta

    def weights(self, counts: Tensor) -> Tensor:
        """See `ClassWeighting.weights`."""
        if self.beta == 0:
            return torch.ones_like(counts)
        return ((1 - self.beta) / -torch.expm1(counts.double() * math.log(self.beta))).float()
