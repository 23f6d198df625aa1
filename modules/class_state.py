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
        subcluster_ids: Sub-cluster of each clustered training sample, or of each sample and each label that it has,
            int64 (S,); empty before the first recluster.
        entry_starts: Where a sample may have several labels, the place of the first sub-cluster of each training
            sample, int64 (N,); else empty.
        subclusters_number: Number of sub-clusters K; of classes before the first recluster.
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
        self.entry_starts = torch.zeros(0, dtype=torch.int64, device=device)
        self.subclusters_number = len(self.counts)

    def assign(
        self,
        subclusters: Subclusters,
        temperatures: Tensor,
        weights: Tensor,
        keep_centroids: bool,
        entry_starts: Tensor | None = None,
    ) -> None:
        """Store the result of a recluster.

        Args:
            subclusters: Sub-clusters of the clustered samples.
            temperatures: Class temperatures, fp32 (C,).
            weights: Class weights, fp32 (C,).
            keep_centroids: Whether to assign samples to the nearest centroid of their class, because only a subsample
                of the training set was clustered.
            entry_starts: See the attribute; None where a sample has a single label.
        """
        self.temperatures.copy_(temperatures)
        self.weights.copy_(weights)
        self.subcluster_ids, self.subclusters_number = subclusters.ids, len(subclusters.class_of)
        if entry_starts is not None:
            self.entry_starts = entry_starts
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
        self._move(labels.device)
        if len(self.subcluster_centroids) == 0:
            return self.subcluster_ids[sample_index]
        return nearest_subclusters(embeddings, labels, self.subcluster_centroids, self.subcluster_classes)

    def subcluster_members(self, sample_index: Tensor, labels: Tensor, embeddings: Tensor) -> Tensor:
        """Look up the sub-clusters of training samples that may have several labels.

        Args:
            sample_index: Index of each sample in the training split, int64 (B,).
            labels: 1 the sample has the label, 0 it does not, -1 not known, integers (B, C).
            embeddings: Embeddings, (B, d).

        Returns:
            Which of K sub-clusters each sample is in, bool (B, K), none with an embedding that is NaN and compared with
            centroids; before the first recluster which labels it has.
        """
        if not self.reclustered:
            return labels == 1
        self._move(labels.device)
        samples, own = (labels == 1).nonzero(as_tuple=True)
        if len(self.subcluster_centroids):
            given = embeddings[samples], own, self.subcluster_centroids, self.subcluster_classes
            ids = nearest_subclusters(*given)
        else:
            # Entries are ordered by sample and label, here as in the training set.
            within = torch.arange(len(samples), device=samples.device) - torch.searchsorted(samples, samples)
            ids = self.subcluster_ids[self.entry_starts[sample_index[samples]] + within]
        # The columns of labels behind those of sub-clusters take what has none, such as an embedding that is NaN.
        columns = self.subclusters_number + labels.shape[1]
        members = torch.zeros(len(labels), columns, dtype=torch.bool, device=labels.device)
        members[samples, ids] = True
        return members[:, : self.subclusters_number]

    def _move(self, device: torch.device) -> None:
        """Move the extra state, which a checkpoint gives before the model moves to its device."""
        if self.subcluster_ids.device != device:
            self.set_extra_state({name: value.to(device) for name, value in self.get_extra_state().items()})

    def get_extra_state(self) -> dict[str, Tensor]:
        """Sub-cluster tensors, for the checkpoint."""
        return {
            "ids": self.subcluster_ids,
            "centroids": self.subcluster_centroids,
            "classes": self.subcluster_classes,
            "entry_starts": self.entry_starts,
            "number": torch.tensor(self.subclusters_number),
        }

    def set_extra_state(self, state: dict[str, Tensor]) -> None:
        """Restore the sub-cluster tensors of a checkpoint."""
        self.subcluster_ids, self.subcluster_centroids = state["ids"], state["centroids"]
        self.subcluster_classes, self.entry_starts = state["classes"], state["entry_starts"]
        self.subclusters_number = int(state["number"])
