"""Mixup of embeddings."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from base.ranges import check_positive, check_range


@dataclass(frozen=True)
class Mixed:
    """Mixtures of the B samples of a batch with a partner each.

    Attributes:
        embeddings: Mixed embeddings, (B, d).
        partners: Index of each sample's partner in the batch, int64 (B,).
        label_shares: Weight of each sample's label in the mixed label, fp32 (B,) in 0..1; the partner's label has the
            remaining weight.
    """

    embeddings: Tensor
    partners: Tensor
    label_shares: Tensor


class Mixup:
    """Convex combinations of embeddings and labels (Zhang et al., 2018, arXiv 1710.09412; Verma et al., 2019).

    The mixture of samples i and j is ``lambda h_i + (1 - lambda) h_j``, with the same weights for their labels. Lambda
    is drawn from ``Beta(alpha, alpha)`` once per batch; it is replaced by ``1 - lambda`` if that is larger, so that a
    sample has at least the weight of its partner. Partners are a random permutation of the batch.
    """

    def __init__(self, alpha: float = 0.2) -> None:
        """Create the mixing.

        Args:
            alpha: Positive parameter of the Beta distribution; small values give mixtures close to one of the samples.

        Raises:
            ValueError: If `alpha` is not positive and finite.
        """
        check_positive("alpha", alpha)
        self.alpha = alpha

    def mix(self, embeddings: Tensor, labels: Tensor, class_counts: Tensor) -> Mixed:
        """Mix each sample with a random partner, drawn with torch's global random state.

        Args:
            embeddings: Embeddings, (B, d).
            labels: Labels, int64 (B,).
            class_counts: Training samples of each class, (C,).

        Returns:
            The mixtures.
        """
        drawn = float(torch.distributions.Beta(self.alpha, self.alpha).sample())
        share = max(drawn, 1 - drawn)
        partners = torch.randperm(len(labels), device=labels.device)
        mixed = share * embeddings + (1 - share) * embeddings[partners]
        ratios = class_counts[labels].float() / class_counts[labels[partners]].float().clamp(min=1)
        return Mixed(mixed, partners, self.label_shares(share, ratios))

    def label_shares(self, share: float, count_ratios: Tensor) -> Tensor:
        """Compute the weight of each sample's label in the label of its mixture.

        Args:
            share: Weight lambda of the sample in the mixture.
            count_ratios: Size of the sample's class divided by the size of its partner's class, fp32 (B,).

        Returns:
            fp32 (B,) in 0..1.
        """
        return torch.full_like(count_ratios, share)


class Remix(Mixup):
    """Mixup whose labels favor the smaller class (Chou et al., 2020, arXiv 2007.03943).

    The weight of the sample's label is 0 if its class is at least `kappa` times as large as its partner's and lambda is
    below `tau`; 1 if its partner's class is at least `kappa` times as large and 1 - lambda is below `tau`; otherwise
    lambda.
    """

    def __init__(self, alpha: float = 1.0, kappa: float = 3.0, tau: float = 0.5) -> None:
        """Create the mixing.

        Args:
            alpha: Positive parameter of the Beta distribution.
            kappa: Smallest ratio of class sizes at which the mixture may get the label of the smaller class, at least
                1.
            tau: Weight of the larger class in the mixture below which it does, in 0..1; 0 gives mixup.

        Raises:
            ValueError: If a setting is out of range.
        """
        super().__init__(alpha)
        check_range("kappa", kappa, 1)
        check_range("tau", tau, 0, highest=1)
        self.kappa, self.tau = kappa, tau

    def label_shares(self, share: float, count_ratios: Tensor) -> Tensor:
        """See `Mixup.label_shares`."""
        shares = super().label_shares(share, count_ratios)
        if share < self.tau:
            shares = shares.masked_fill(count_ratios >= self.kappa, 0.0)
        if 1 - share < self.tau:
            shares = shares.masked_fill(count_ratios <= 1 / self.kappa, 1.0)
        return shares
