"""Sub-clusters: groups of similar samples inside each class, of about the same size in every class."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from modules.unit_embeddings import check_rows, group_means, unit_embeddings

Rows = NDArray[np.float32]
Ids = NDArray[np.int64]

KMEANS_ITERATIONS = 20
BOUNDED_ITERATIONS = 10
# A class that needs more sub-clusters than this is first cut into a few large parts: the cost of k-means grows
# with rows times clusters.
MOST_AT_ONCE = 64
LARGE_PARTS = 8
# Room to spare lets sub-clusters follow the data where a bound that is filled exactly would cut through them.
SPARE_SUBCLUSTERS = 1.1
REFINEMENT_ROUNDS = 3
# With fewer similarities an iteration, setting up the GPU takes longer than the k-means itself.
GPU_SIMILARITIES = 2**22


@dataclass(frozen=True)
class Subclusters:
    """Sub-clusters of N samples, ordered by class.

    Attributes:
        ids: Sub-cluster of each sample, int64 (N,), 0..K-1 without gaps.
        class_of: Class of each sub-cluster, int64 (K,), ascending.
        centroids: Plain mean of each sub-cluster's unit embeddings, fp32 (K, d).
    """

    ids: Tensor
    class_of: Tensor
    centroids: Tensor


@torch.no_grad()
def subcluster(
    embeddings: Tensor,
    labels: Tensor,
    num_classes: int,
    min_size: int = 10,
    method: Literal["kmeans", "bounded"] = "kmeans",
    seed: int = 0,
) -> Subclusters:
    """Split every class into sub-clusters about as large as the smallest class.

    With the size bound ``U = max(min_c n_c, min_size)`` over the classes that have samples (Su, Li and Wang, 2025,
    arXiv 2504.04647, algorithm 1):

    - `kmeans`: spherical k-means with ``max(1, floor(n_c / U))`` clusters; empty ones are left out, and sizes are
      not bounded. This is what the authors ran.
    - `bounded`: no sub-cluster is larger than U, as the paper says. One where ``n_c <= U``; otherwise
      ``ceil(n_c / U)`` or about a tenth more.

    Args:
        embeddings: Floating point (N, d), any device; normalised inside. FAISS runs on the CPU, or on the GPU
            where the embeddings are on one and FAISS supports it.
        labels: int64 (N,) in 0..C-1, before any resampling.
        num_classes: Number of classes C; classes may be without samples.
        min_size: Smallest size bound (delta of the paper), at least 1.
        method: `kmeans` or `bounded`.
        seed: Seed of k-means; equal inputs and seeds give equal results.

    Returns:
        The sub-clusters, on the embeddings' device.

    Raises:
        ValueError: Where an argument is out of range, a shape or label is invalid, or an embedding holds NaN or
            an infinite value (the message names the classes affected).
    """
    if method not in ("kmeans", "bounded"):
        raise ValueError(f"method must be 'kmeans' or 'bounded', got {method!r}")
    if min_size < 1:
        raise ValueError(f"min_size must be at least 1, got {min_size}")
    check_rows("embeddings", embeddings, labels, num_classes)
    split = _kmeans_split if method == "kmeans" else _bounded_split
    unit, classes = unit_embeddings(embeddings).cpu(), labels.cpu()
    counts = torch.bincount(classes, minlength=num_classes)
    bound = max(int(counts[counts > 0].min()), min_size)
    ids = torch.empty(len(unit), dtype=torch.int64)
    class_of: list[int] = []
    rows_by_class = torch.split(classes.argsort(stable=True), counts.tolist())
    for label, rows in enumerate(rows_by_class):
        if len(rows) > 0:
            found = split(unit[rows].numpy(), bound, seed, embeddings.is_cuda)
            used, without_gaps = np.unique(found, return_inverse=True)
            ids[rows] = torch.from_numpy(without_gaps) + len(class_of)
            class_of += [label] * len(used)
    centroids, _ = group_means(unit, ids, len(class_of))
    device = embeddings.device
    return Subclusters(ids.to(device), torch.tensor(class_of, device=device), centroids.to(device))


def subclusters_per_class(class_of: Tensor, num_classes: int) -> Tensor:
    """Count the sub-clusters of each class.

    Args:
        class_of: Class of each sub-cluster, int64 (K,) in 0..C-1.
        num_classes: Number of classes C.

    Returns:
        int64 (C,), 0 for a class without samples.

    Raises:
        ValueError: Where a class is outside 0..C-1.
    """
    if class_of.numel() > 0 and not 0 <= int(class_of.min()) <= int(class_of.max()) < num_classes:
        raise ValueError(f"class_of must lie in 0..{num_classes - 1}, got {int(class_of.min())}..{int(class_of.max())}")
    return torch.bincount(class_of, minlength=num_classes)


def _train_kmeans(unit: Rows, clusters: int, iterations: int, seed: int, on_gpu: bool) -> Any:
    """Train FAISS's spherical k-means on all rows; FAISS has no types."""
    import faiss

    worth_it = len(unit) * clusters >= GPU_SIMILARITIES
    kmeans = faiss.Kmeans(
        unit.shape[1],
        clusters,
        niter=iterations,
        spherical=True,
        min_points_per_centroid=1,
        max_points_per_centroid=len(unit),
        seed=seed,
        gpu=on_gpu and worth_it and faiss.get_num_gpus() > 0,
    )
    kmeans.train(unit)
    return kmeans


def _kmeans_split(unit: Rows, bound: int, seed: int, on_gpu: bool) -> Ids:
    clusters = len(unit) // bound
    if clusters <= 1:
        return np.zeros(len(unit), dtype=np.int64)
    kmeans = _train_kmeans(unit, clusters, KMEANS_ITERATIONS, seed, on_gpu)
    nearest: Ids = kmeans.assign(unit)[1]
    return nearest


def _bounded_split(unit: Rows, bound: int, seed: int, on_gpu: bool) -> Ids:
    ids = np.zeros(len(unit), dtype=np.int64)
    found = 0
    waiting: list[Ids] = [np.arange(len(unit))]
    while waiting:
        rows = waiting.pop()
        if len(rows) <= bound:
            ids[rows] = found
            found += 1
            continue
        part = unit[rows]
        fewest = -(-len(rows) // bound)
        if fewest > MOST_AT_ONCE:
            clusters, capacity, rounds = LARGE_PARTS, 2 * len(rows) // LARGE_PARTS, 0
        else:
            clusters = max(fewest, int(SPARE_SUBCLUSTERS * len(rows) / bound))
            capacity, rounds = bound, REFINEMENT_ROUNDS
        centroids = _train_kmeans(part, clusters, BOUNDED_ITERATIONS, seed, on_gpu).centroids
        assigned = _assign_within_capacity(part @ centroids.T, capacity)
        for _ in range(rounds):
            means, _ = group_means(torch.from_numpy(part), torch.from_numpy(assigned), clusters)
            assigned = _assign_within_capacity(part @ unit_embeddings(means).numpy().T, capacity)
        waiting.extend(rows[assigned == cluster] for cluster in np.unique(assigned))
    return ids


def _assign_within_capacity(similarity: Rows, capacity: int) -> Ids:
    """Assign each row to the most similar cluster that still has room.

    Rows that want the same cluster are taken in order of similarity, then of position, so identical rows fill one
    cluster after the other.

    Args:
        similarity: (rows, clusters), with capacity * clusters >= rows; overwritten.
        capacity: Most rows a cluster takes.

    Returns:
        Cluster of each row.
    """
    rows, clusters = similarity.shape
    assigned = np.empty(rows, dtype=np.int64)
    room = np.full(clusters, capacity)
    waiting = np.arange(rows)
    while len(waiting) > 0:
        wanted = similarity[waiting].argmax(axis=1)
        order = np.lexsort((-similarity[waiting, wanted], wanted))
        waiting, wanted = waiting[order], wanted[order]
        place_in_queue = np.arange(len(wanted)) - np.searchsorted(wanted, wanted)
        taken = place_in_queue < room[wanted]
        assigned[waiting[taken]] = wanted[taken]
        room -= np.bincount(wanted[taken], minlength=clusters)
        similarity[:, room == 0] = -np.inf
        waiting = np.sort(waiting[~taken])
    return assigned
