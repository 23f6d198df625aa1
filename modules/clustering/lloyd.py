"""Lloyd's algorithm for k-means in torch, on any device."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

# Bounds the memory of the similarities of rows and centroids.
BLOCK_ROWS = 2**17


def nearest(rows: Tensor, centroids: Tensor) -> Tensor:
    """Find the nearest centroid of each row by Euclidean distance.

    Args:
        rows: Rows, fp32 (N, d).
        centroids: Centroids, fp32 (K, d).

    Returns:
        Index of the nearest centroid, int64 (N,).
    """
    offsets = -0.5 * centroids.square().sum(dim=1)
    return torch.cat(
        [torch.addmm(offsets, block, centroids.T).argmax(dim=1) for block in torch.split(rows, BLOCK_ROWS)]
    )


def lloyd(rows: Tensor, centroids: Tensor, iterations: int, spherical: bool = False) -> Tensor:
    """Run Lloyd's algorithm: move each centroid to the mean of the rows nearest to it, repeatedly.

    Args:
        rows: Rows, fp32 (N, d).
        centroids: Initial centroids, fp32 (K, d). A centroid that is nearest to no row does not move.
        iterations: Number of iterations.
        spherical: Whether to scale centroids to unit length.

    Returns:
        Centroids, fp32 (K, d).
    """
    for _ in range(iterations):
        chosen = nearest(rows, centroids)
        counts = torch.bincount(chosen, minlength=len(centroids)).unsqueeze(1)
        means = torch.zeros_like(centroids).index_add_(0, chosen, rows) / counts.clamp(min=1)
        centroids = torch.where(counts > 0, functional.normalize(means, dim=1) if spherical else means, centroids)
    return centroids


def random_rows(rows: Tensor, number: int, seed: int) -> Tensor:
    """Draw rows at random without replacement.

    Args:
        rows: Rows, (N, d).
        number: Number of rows to draw; all rows are returned, in random order, if there are fewer.
        seed: Random seed; the draw does not depend on the device.

    Returns:
        (min(number, N), d).
    """
    order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed))
    return rows[order[:number].to(rows.device)]


def relabel_consecutively(ids: Tensor) -> Tensor:
    """Relabel clusters 0..K-1 in the same order, so that no number is unused.

    Args:
        ids: Cluster of each row, int64 (N,), at least 0.

    Returns:
        int64 (N,) in 0..K-1.
    """
    used = torch.bincount(ids) > 0
    return (used.cumsum(0) - 1)[ids]
