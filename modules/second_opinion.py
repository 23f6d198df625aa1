"""An opinion on the class of a sample beside that of the network."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from datamodules.batch import Batch
from datamodules.drug_task import DrugTask

if TYPE_CHECKING:
    from scipy.sparse import csr_array


class SecondOpinion(nn.Module, ABC):
    """What training samples say of the classes of other samples, which is added to the logits of the network.

    A subclass learns the training samples by a method of its own, which leaves the weight as it is.

    The opinion on a class is the logarithm of how many times more likely it is than among all training samples, so that
    it is near 0 where nothing is known.

    Attributes:
        weight: Factor of the opinion that is added to logits; 0 before it is chosen.
        temperature: What the sum is divided by, so that its softmax is as sure as it is right.
        prior: Logarithms of class frequencies that logits contain, and that are not divided, fp32 (C,).
    """

    def __init__(self, num_classes: int) -> None:
        """Have no opinion.

        Args:
            num_classes: Number of classes C.
        """
        super().__init__()
        self.num_classes = num_classes
        self.forget()

    def forget(self) -> None:
        """Forget what was learned, and have no opinion."""
        self.weight, self.temperature = 0.0, 1.0
        self.prior = torch.zeros(self.num_classes)

    @staticmethod
    @abstractmethod
    def features(batch: Batch, task: DrugTask) -> csr_array:
        """What an opinion is based on, fp32 (B, W).

        Args:
            batch: Batch of B samples with molecules.
            task: Description of the data.
        """

    @property
    @abstractmethod
    def width(self) -> int | None:
        """Number of features W of a sample; None before anything was learned."""

    @staticmethod
    @abstractmethod
    def width_of(task: DrugTask) -> int:
        """Number of features W that the samples of a task have.

        Args:
            task: Description of the data.
        """

    @abstractmethod
    def opinions(self, features: csr_array) -> Tensor:
        """Compute the opinions on samples, fp32 (n, C), on the CPU.

        Args:
            features: Features of the samples, fp32 (n, W).
        """

    def add_to(self, logits: Tensor, batch: Batch, task: DrugTask) -> Tensor:
        """Add the opinion to the logits of a batch, (B, C).

        Args:
            logits: Logits, (B, C).
            batch: The batch.
            task: Description of the data.
        """
        return self.mixed(logits, self.opinions(self.features(batch, task)))

    def mixed(self, logits: Tensor, opinions: Tensor) -> Tensor:
        """Compute ``(logits - prior + weight opinions) / temperature + prior``, fp32 (n, C).

        Args:
            logits: Logits, (n, C).
            opinions: Opinions, (n, C).
        """
        prior, logits = self.prior.to(logits.device), logits.float()
        return (logits - prior + self.weight * opinions.to(logits)) / self.temperature + prior

    def mixture_state(self) -> dict[str, Any]:
        """What the opinion is mixed with the logits by, for a checkpoint."""
        return {"weight": float(self.weight), "temperature": float(self.temperature), "prior": self.prior}

    def set_mixture(self, state: dict[str, Any]) -> bool:
        """Restore what the opinion is mixed with the logits by.

        Args:
            state: What `mixture_state` returned.

        Returns:
            Whether it is valid; if not, nothing changes.
        """
        weight: Any = state.get("weight")
        temperature: Any = state.get("temperature")
        prior: Any = state.get("prior")
        valid = (
            all(isinstance(value, float) and 0 < value < torch.inf for value in (weight, temperature))
            and isinstance(prior, Tensor)
            and prior.dtype == torch.float32
            and prior.shape == (self.num_classes,)
            and bool(prior.isfinite().all())
        )
        if valid:
            self.weight, self.temperature, self.prior = weight, temperature, prior
        return valid
