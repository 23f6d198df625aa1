"""Class weights, class temperatures and sub-clusters of the current recluster."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from modules.subclusters import Subclusters, nearest_subclusters


class ClassState(nn.Module):
    """Class weights, class temperatures and sub-clusters, saved in checkpoints.

    The sub-cluster tensors are extra state instead of buffers, because their length depends on the training set and
    DDP would broadcast buffers of this length at every step.

    Attributes:
        counts: Training samples of each class, int64 (C,); not saved.
        weights: Weight of each class in the classification loss, fp32 (C,).
        temperatures: Temperature of each class in the contrastive loss, fp32 (C,).
        subcluster_ids: Sub-cluster of each clustered training sample, int64 (S,); empty before the first recluster.
        subcluster_centroids: Centroids, fp32 (K, d), if only a subsample of each class was clustered; else empty.
        subcluster_classes: Class of each centroid, int64 (K,).
    """

    counts: Tensor
    weights: Tensor
    temperatures: Tensor

    def __init__(self, class_counts: Tensor, embedding_dim: int, temperature: float = 0.1) -> None:
        """Create the state before the first recluster.

        Args:
            class_counts: Training samples of each class, int64 (C,).
            embedding_dim: Size d of an embedding.
            temperature: Temperature of a class with a single sub-cluster.
        """
        super().__init__()
        self.embedding_dim, self.temperature = embedding_dim, temperature
        self.register_buffer("counts", class_counts, persistent=False)
        self.register_buffer("weights", torch.zeros(len(class_counts)))
        self.register_buffer("temperatures", torch.zeros(len(class_counts)))
        self.reset()

    def reset(self) -> None:
        """Restore the state before the first recluster: no sub-clusters, equal weights and temperatures."""
        present = self.counts > 0
        self.weights.copy_(present / present.sum())
        self.temperatures.fill_(self.temperature)
        device = self.counts.device
        self.subcluster_ids = torch.zeros(0, dtype=torch.int64, device=device)
        self.subcluster_centroids = torch.zeros(0, self.embedding_dim, device=device)
        self.subcluster_classes = torch.zeros(0, dtype=torch.int64, device=device)

    def assign(self, subclusters: Subclusters, temperatures: Tensor, weights: Tensor, keep_centroids: bool) -> None:
        """Store the result of a recluster.

        Args:
            subclusters: Sub-clusters of the clustered samples.
            temperatures: Class temperatures, fp32 (C,).
            weights: Class weights, fp32 (C,).
            keep_centroids: Whether to assign samples to the nearest centroid of their class, because only a subsample
                of the training set was clustered.
        """
        self.temperatures.copy_(temperatures)
        self.weights.copy_(weights)
        self.subcluster_ids = subclusters.ids
        if keep_centroids:
            self.subcluster_centroids, self.subcluster_classes = subclusters.centroids, subclusters.class_of

    @property
    def reclustered(self) -> bool:
        """Whether a recluster has been stored."""
        return len(self.subcluster_ids) > 0

    def subclusters_of(self, sample_index: Tensor, labels: Tensor, embeddings: Tensor) -> Tensor:
        """Look up the sub-clusters of training samples.

        Args:
            sample_index: Index of each sample in the training split, int64 (B,).
            labels: Labels, int64 (B,).
            embeddings: Embeddings, (B, d).

        Returns:
            int64 (B,); all 0 before the first recluster.
        """
        if not self.reclustered:
            return torch.zeros_like(labels)
        if self.subcluster_ids.device != labels.device:
            # A checkpoint is loaded before the model moves to its device.
            self.set_extra_state({name: value.to(labels.device) for name, value in self.get_extra_state().items()})
        if len(self.subcluster_centroids) == 0:
            return self.subcluster_ids[sample_index]
        return nearest_subclusters(embeddings, labels, self.subcluster_centroids, self.subcluster_classes)

    def get_extra_state(self) -> dict[str, Tensor]:
        """Sub-cluster tensors, for the checkpoint."""
        return {
            "ids": self.subcluster_ids,
            "centroids": self.subcluster_centroids,
            "classes": self.subcluster_classes,
        }

    def set_extra_state(self, state: dict[str, Tensor]) -> None:
        """Restore the sub-cluster tensors of a checkpoint."""
        self.subcluster_ids, self.subcluster_centroids = state["ids"], state["centroids"]
        self.subcluster_classes = state["classes"]
