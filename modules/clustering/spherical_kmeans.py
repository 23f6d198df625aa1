"""Spherical k-means with FAISS, or in torch on any device."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from modules.clustering.lloyd import lloyd, nearest, random_rows, relabel_consecutively
from modules.unit_embeddings import group_means, unit_embeddings

KMEANS_ITERATIONS = 20
# With fewer similarities per iteration, setting up the GPU takes longer than the k-means itself.
MIN_GPU_SIMILARITIES = 2**22

Backend = Literal["auto", "faiss", "torch"]


@torch.no_grad()
def spherical_kmeans(
    unit: Tensor,
    bound: int,
    seed: int = 0,
    previous: Tensor | None = None,
    class_sizes: list[int] | None = None,
    backend: Backend = "auto",
) -> Tensor:
    """Divide the n rows of each class into `max(1, floor(n / bound))` clusters; empty clusters are dropped.

    Args:
        unit: Unit vectors, fp32 (N, d), ordered by class, on any device.
        bound: Number of rows per cluster, from which the number of clusters follows, at least 1.
        seed: Random seed; equal arguments and seeds give equal clusters.
        previous: Previous cluster of each row, int64 (N,). K-means starts from their means, and the number of clusters
            does not increase.
        class_sizes: Number of rows of each class, at least 1; clusters do not cross classes. None for a single class.
        backend: See `modules.subclusters.subcluster`.

    Returns:
        Cluster of each row, int64 (N,), 0..K-1 without gaps, ordered by class; clusters of a class keep the order of
        the previous ones.

    Raises:
        ValueError: If the backend is unknown.
    """
    if backend not in ("auto", "faiss", "torch"):
        raise ValueError(f"backend: expected 'auto', 'faiss' or 'torch', got {backend!r}.")
    pieces, start, number = [], 0, 0
    for size in [len(unit)] if class_sizes is None else class_sizes:
        inside = unit[start : start + size]
        before = None if previous is None else relabel_consecutively(previous[start : start + size])
        means = None if before is None else group_means(inside, before, int(before.max()) + 1)[0]
        clusters = max(1, size // bound) if means is None else len(means)
        if clusters == 1:
            found = torch.zeros(size, dtype=torch.int64, device=unit.device)
        elif backend == "faiss" or (backend == "auto" and not unit.is_cuda):
            found = relabel_consecutively(_faiss_kmeans(inside, clusters, seed, means))
        else:
            centroids = random_rows(inside, clusters, seed) if means is None else unit_embeddings(means)
            found = relabel_consecutively(nearest(inside, lloyd(inside, centroids, KMEANS_ITERATIONS, spherical=True)))
        pieces.append(found + number)
        start, number = start + size, number + int(found.max()) + 1
    return torch.cat(pieces)


def _faiss_kmeans(unit: Tensor, clusters: int, seed: int, start: Tensor | None) -> Tensor:
    import faiss

    large_enough = len(unit) * clusters >= MIN_GPU_SIMILARITIES
    kmeans = faiss.Kmeans(
        unit.shape[1],
        clusters,
        niter=KMEANS_ITERATIONS,
        spherical=True,
        min_points_per_centroid=1,
        max_points_per_centroid=len(unit),
        seed=seed,
        gpu=unit.is_cuda and large_enough and faiss.get_num_gpus() > 0,
    )
    rows = unit.cpu().numpy()
    kmeans.train(rows, init_centroids=None if start is None else start.cpu().numpy())
    return torch.from_numpy(kmeans.assign(rows)[1]).to(unit.device)
