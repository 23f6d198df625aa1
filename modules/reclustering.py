"""From embeddings of the training set to sub-clusters, class temperatures and class weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from modules.class_difficulty import confusion_rate, difficulty_weights, neighbor_overlap, relative_spread
from modules.class_distances import class_distances, class_temperatures, distance_weights, subcluster_distances
from modules.clustering.spherical_kmeans import Backend
from modules.subclusters import Method, Subclusters, share_moved, subcluster, subclusters_per_class

Difficulty = Literal["distance", "class_distance", "neighbors", "spread", "confusion"]


@dataclass(frozen=True)
class ReclusterSettings:
    """How sub-clusters are found and what the class weights follow from; see `callbacks.recluster.Recluster`."""

    method: Method = "bounded"
    min_size: int = 10
    difficulty: Difficulty = "neighbors"
    strength: float = 1.0
    seed: int = 0
    backend: Backend = "auto"


@dataclass(frozen=True)
class ReclusterResult:
    """What a recluster found.

    Attributes:
        subclusters: Sub-clusters of the samples that were clustered.
        per_class: Number of sub-clusters of each class, int64 (C,).
        temperatures: Class temperatures, fp32 (C,).
        class_distance: Distance from each class to its nearest rival, fp32 (C,).
        subcluster_distance: The same between sub-clusters, fp32 (C,).
        difficulty: What the weights follow from, larger for a harder class, fp32 (C,).
        weights: Class weights, fp32 (C,).
        moved: Share of the samples of divided classes that left their sub-cluster; NaN the first time.
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
) -> ReclusterResult:
    """Recluster embeddings of training samples; the processes of a run share the work and get the same result.

    Args:
        embeddings: Floating point (S, d).
        labels: int64 (S,).
        class_counts: Samples of each class in the whole training split, int64 (C,).
        settings: How.
        temperature: Temperature of a class that has a single sub-cluster.
        previous: Sub-clusters of the same samples found before, int64 (S,).
        confusion: Training samples by true and predicted class, (C, C); needed where they are the difficulty.
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
        difficulty = _measure(embeddings, labels, num_classes, settings, confusion)
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


def _measure(
    embeddings: Tensor, labels: Tensor, num_classes: int, settings: ReclusterSettings, confusion: Tensor | None
) -> Tensor:
    if settings.difficulty == "neighbors":
        return neighbor_overlap(embeddings, labels, num_classes, seed=settings.seed)
    if settings.difficulty == "spread":
        return relative_spread(embeddings, labels, num_classes)
    assert confusion is not None
    rate = confusion_rate(confusion)
    # A class that was not classified yet is as hard as the others.
    mean = rate.nanmean().nan_to_num(0.0)
    present = torch.bincount(labels, minlength=num_classes) > 0
    return torch.where(rate.isnan() & present, mean, rate)
