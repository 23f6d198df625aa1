"""Settings of the contrast of views in training."""

from __future__ import annotations

from dataclasses import dataclass

from base.ranges import check_range, check_sizes
from modules.losses import ContrastiveLoss


@dataclass(frozen=True)
class Contrast:
    """Contrast of two views of each sample, in addition to the classification loss.

    Args:
        loss: Contrastive loss. A loss that needs sub-clusters is used from the first recluster on.
        warmup: Contrastive loss used before the first recluster if `loss` needs sub-clusters; none if null.
        weight: Factor of the contrastive loss; 0 turns the contrast off and trains on the first view only.
        view_probabilities: Shares of edges, fingerprint bins or array features that the first and second view drop.
        projection_dims: Layer sizes of the projection between embedding and contrastive loss; null contrasts embeddings
            without a projection.
        over_processes: Whether to contrast samples across the batches of all processes; false contrasts the samples of
            each process separately.

    Raises:
        ValueError: If a setting is out of range.
    """

    loss: ContrastiveLoss
    warmup: ContrastiveLoss | None = None
    weight: float = 1.0
    view_probabilities: tuple[float, float] = (0.15, 0.10)
    projection_dims: list[int] | None = None
    over_processes: bool = True

    def __post_init__(self) -> None:
        """Check the settings."""
        check_range("model.contrast.weight", self.weight, 0)
        check_sizes("model.contrast.projection_dims", self.projection_dims)
        if len(self.view_probabilities) != 2 or not all(0 <= share < 1 for share in self.view_probabilities):
            raise ValueError(
                "model.contrast.view_probabilities: expected two numbers from 0 to below 1, "
                f"got {list(self.view_probabilities)}."
            )

    def current_loss(self, reclustered: bool) -> ContrastiveLoss | None:
        """Select the loss of a training step.

        Args:
            reclustered: Whether sub-clusters are known.

        Returns:
            The contrastive loss; None if `weight` is 0, or if sub-clusters are needed and there is no warmup loss.
        """
        if self.weight == 0:
            return None
        return self.warmup if self.loss.needs_subclusters and not reclustered else self.loss
