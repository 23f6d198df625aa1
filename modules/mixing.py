"""Mixtures of pairs of samples, made of their embeddings."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Mixed:
    """B mixtures, each with two labels.

    Attributes:
        embeddings: (B, d).
        partners: int64 (B,), place of each sample's partner in the batch.
        label_shares: fp32 (B,) in 0..1, how much of the label is the sample's own; the rest is its partner's.
    """

    embeddings: Tensor
    partners: Tensor
    label_shares: Tensor


class Mixup:
    """Convex combinations of embeddings and labels (Zhang et al., 2018, arXiv 1710.09412; Verma et al., 2019).

    With one lambda for a batch, drawn from ``Beta(alpha, alpha)`` and folded to 1/2 or more so that a sample outweighs
    its partner, the mixture of samples i and j is ``lambda h_i + (1 - lambda) h_j`` and its label that of i by the
    share lambda, else that of j. Partners are drawn at random.
    """

    def __init__(self, alpha: float = 0.2) -> None:
        """Store the setting.

        Args:
            alpha: Of the Beta distribution, positive; small for mixtures close to one of the samples.

        Raises:
            ValueError: If it is not positive.
        """
        if not 0 < alpha < float("inf"):
            raise ValueError(f"alpha must be positive and finite, got {alpha}")
        self.alpha = alpha

    def mix(self, embeddings: Tensor, labels: Tensor, class_counts: Tensor) -> Mixed:
        """Mix each sample with another one; draws from torch's random state.

        Args:
            embeddings: (B, d).
            labels: int64 (B,).
            class_counts: Training samples of each class, (C,).
        """
        drawn = float(torch.distributions.Beta(self.alpha, self.alpha).sample())
        share = max(drawn, 1 - drawn)
        partners = torch.randperm(len(labels), device=labels.device)
        mixed = share * embeddings + (1 - share) * embeddings[partners]
        ratios = class_counts[labels].float() / class_counts[labels[partners]].float().clamp(min=1)
        return Mixed(mixed, partners, self.label_shares(share, ratios))

    def label_shares(self, share: float, count_ratios: Tensor) -> Tensor:
        """How much of each mixture's label is the sample's own.

        Args:
            share: Of the sample in the mixture, lambda.
            count_ratios: fp32 (B,), size of the sample's class over that of its partner's.

        Returns:
            fp32 (B,).
        """
        return torch.full_like(count_ratios, share)


class Remix(Mixup):
    """Mixup whose labels lean to the smaller class (Chou et al., 2020, arXiv 2007.03943).

    The share of the label is 0 where the sample's class is at least `kappa` times as large and lambda is below `tau`, 1
    where its partner's is and 1 - lambda is below `tau`, else lambda.
    """

    def __init__(self, alpha: float = 1.0, kappa: float = 3.0, tau: float = 0.5) -> None:
        """Store the settings.

        Args:
            alpha: Of the Beta distribution, positive.
            kappa: Ratio of class sizes from which on the label goes to the smaller class, at least 1.
            tau: Share of the larger class in the mixture up to which it does, 0..1; 0 is mixup.

        Raises:
            ValueError: Where one is out of range.
        """
        super().__init__(alpha)
        if not 1 <= kappa < float("inf") or not 0 <= tau <= 1:
            raise ValueError(f"kappa must be at least 1 and tau lie in 0..1, got {kappa} and {tau}")
        self.kappa, self.tau = kappa, tau

    def label_shares(self, share: float, count_ratios: Tensor) -> Tensor:
        """See `Mixup.label_shares`."""
        shares = super().label_shares(share, count_ratios)
        if share < self.tau:
            shares = shares.masked_fill(count_ratios >= self.kappa, 0.0)
        if 1 - share < self.tau:
            shares = shares.masked_fill(count_ratios <= 1 / self.kappa, 1.0)
        return shares
