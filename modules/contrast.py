"""How training contrasts views of the samples."""

from __future__ import annotations

from dataclasses import dataclass

from modules.losses import ContrastiveLoss


@dataclass(frozen=True)
class Contrast:
    """Contrast of two views of each sample, beside the classification loss.

    Args:
        loss: The contrastive loss. One that needs sub-clusters starts after the first recluster.
        warmup: What takes the place of such a loss before the first recluster; nothing if null.
        weight: Factor of the contrastive loss; 0 leaves it out and trains on the first view alone.
        view_probabilities: Shares of edges and fingerprint entries that the first and the second view drop.
        projection_dims: Layer sizes between embedding and contrastive loss; null contrasts the embedding itself.
        over_processes: Whether the batches of all processes are contrasted with each other, on every process; false
            contrasts each batch by itself.

    Raises:
        ValueError: If a number is out of range.
    """

    loss: ContrastiveLoss
    warmup: ContrastiveLoss | None = None
    weight: float = 1.0
    view_probabilities: tuple[float, float] = (0.15, 0.10)
    projection_dims: list[int] | None = None
    over_processes: bool = True

    def __post_init__(self) -> None:
        """Check the ranges."""
        if self.weight < 0:
            raise ValueError(f"model.contrast.weight: expected 0 or more, got {self.weight}.")
        if len(self.view_probabilities) != 2 or not all(0 <= share < 1 for share in self.view_probabilities):
            raise ValueError(
                "model.contrast.view_probabilities: expected two numbers from 0 to below 1, "
                f"got {list(self.view_probabilities)}."
            )

    def current_loss(self, reclustered: bool) -> ContrastiveLoss | None:
        """The loss that a step uses; None where there is none yet, or its weight is 0.

        Args:
            reclustered: Whether there are sub-clusters.
        """
        if self.weight == 0:
            return None
        return self.warmup if self.loss.needs_subclusters and not reclustered else self.loss
