"""Computes sub-clusters, class temperatures and class weights from embeddings of the training set."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from base.ranges import check_range, check_seed, check_whole
from modules.class_difficulty import confusion_rate, difficulty_weights, neighbor_overlap, relative_spread
from modules.class_distances import class_distances, class_temperatures, distance_weights, subcluster_distances
from modules.clustering.spherical_kmeans import Backend
from modules.subclusters import Method, Subclusters, share_moved, subcluster, subclusters_per_class

Difficulty = Literal["distance", "class_distance", "neighbors", "spread", "confusion"]


@dataclass(frozen=True)
class ReclusterSettings:
    """Settings of a recluster; see `callbacks.recluster.Recluster`.

    Attributes:
        method: Clustering method.
        min_size: Smallest size bound of sub-clusters.
        difficulty: Measure of class difficulty that the class weights are computed from.
        strength: Inverse temperature of the softmax over difficulties.
        seed: Random seed.
        backend: Implementation of k-means.

    Raises:
        ValueError: If a number is out of range.
    """

    method: Method = "bounded"
    min_size: int = 10
    difficulty: Difficulty = "neighbors"
    strength: float = 1.0
    seed: int = 0
    backend: Backend = "auto"

    def __post_init__(self) -> None:
        """Check the numbers."""
        check_whole("recluster.min_size", self.min_size, 1)
        check_range("recluster.strength", self.strength, 0)
        check_seed("recluster.seed", self.seed)


@dataclass(frozen=True)
class ReclusterResult:
    """Result of a recluster.

    Attributes:
        subclusters: Sub-clusters of the clustered samples.
        per_class: Number of sub-clusters of each class, int64 (C,).
        temperatures: Class temperatures, fp32 (C,).
        class_distance: Distance from each class to the nearest other class, fp32 (C,).
        subcluster_distance: Smallest distance between sub-clusters of each class and of other classes, fp32 (C,).
        difficulty: Difficulty of each class, larger for a more difficult class, fp32 (C,).
        weights: Class weights, fp32 (C,).
        moved: Share of samples that changed their sub-cluster, among classes with more than one; NaN the first time.
    """

    subclusters: Subclusters
    per_class: Tensor
    temperatures: Tensor
    class_distance: Tensor
    subcluster_distance: Tensor
    difficulty: Tensor
    weights: Tensor
    moved: float


def find_subclusters(
    embeddings: Tensor,
    labels: Tensor,
    class_counts: Tensor,
    settings: ReclusterSettings,
    temperature: float = 0.1,
    previous: Tensor | None = None,
    confusion: Tensor | None = None,
    overlap: Tensor | None = None,
    distinct: Tensor | None = None,
) -> ReclusterResult:
    """Recluster embeddings of training samples; all processes share the work and get the same result.

    Args:
        embeddings: Embeddings of the S clustered samples, floating point (S, d).
        labels: Labels, int64 (S,).
        class_counts: Samples of each class in the whole training split, int64 (C,).
        settings: Settings of the recluster.
        temperature: Temperature of a class with a single sub-cluster.
        previous: Previous sub-cluster of each sample, int64 (S,); None the first time.
        confusion: Confusion matrix of the training samples, (C, C); required if the difficulty is `confusion`.
        overlap: The difficulty `neighbors` where a sample may have several labels and is an embedding for each, fp32
            (C,); None computes it from the embeddings.
        distinct: Places of one embedding of each different sample of a class, int64 (n,), on which the difficulties
            `neighbors` and `spread` are measured, since a sample would be its own neighbor; None measures on all.

    Returns:
        Sub-clusters, class temperatures and class weights.
    """
    num_classes = len(class_counts)
    found = subcluster(
        *(embeddings, labels, num_classes, settings.min_size, settings.method, settings.seed, previous),
        *(settings.backend, True),
    )
    per_class = subclusters_per_class(found.class_of, num_classes)
    d = class_distances(embeddings, labels, num_classes)
    d_prime = subcluster_distances(found.centroids, found.class_of, num_classes)
    if settings.difficulty in ("distance", "class_distance"):
        second = d_prime if settings.difficulty == "distance" else d
        difficulty, weights = -(d + second) / 2, distance_weights(d, second, settings.strength)
    else:
        measured = embeddings, labels, num_classes, settings, confusion, distinct
        difficulty = _difficulty(*measured) if overlap is None else overlap
        weights = difficulty_weights(difficulty, settings.strength)
    return ReclusterResult(
        found,
        per_class,
        class_temperatures(embeddings, labels, per_class, temperature, class_counts),
        d,
        d_prime,
        difficulty,
        weights,
        float("nan") if previous is None else share_moved(previous, found.ids, found.class_of),
    )


def _difficulty(
    embeddings: Tensor,
    labels: Tensor,
    num_classes: int,
    settings: ReclusterSettings,
    confusion: Tensor | None,
    distinct: Tensor | None,
) -> Tensor:
    if settings.difficulty == "confusion":
        assert confusion is not None
        rate = confusion_rate(confusion)
        # A class that has not been classified yet gets the mean difficulty.
        mean = rate.nanmean().nan_to_num(0.0)
        present = torch.bincount(labels, minlength=num_classes) > 0
        return torch.where(rate.isnan() & present, mean, rate)
    if distinct is not None:
        embeddings, labels = embeddings[distinct], labels[distinct]
    if settings.difficulty == "spread":
        return relative_spread(embeddings, labels, num_classes)
    return neighbor_overlap(embeddings, labels, num_classes, seed=settings.seed)
