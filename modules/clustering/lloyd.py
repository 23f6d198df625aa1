"""Lloyd's k-means in torch, on any device."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

# Rows compared with all centroids at a time.
BLOCK_ROWS = 2**17


def nearest(rows: Tensor, centroids: Tensor) -> Tensor:
    """The nearest centroid of each row by Euclidean distance.

    Args:
        rows: fp32 (N, d).
        centroids: fp32 (K, d).

    Returns:
        int64 (N,).
    """
    offsets = -0.5 * centroids.square().sum(dim=1)
    return torch.cat(
        [torch.addmm(offsets, block, centroids.T).argmax(dim=1) for block in torch.split(rows, BLOCK_ROWS)]
    )


def lloyd(rows: Tensor, centroids: Tensor, iterations: int, spherical: bool = False) -> Tensor:
    """Move centroids to the means of the rows nearest to them, some times over.

    Args:
        rows: fp32 (N, d).
        centroids: fp32 (K, d) to start from. One that no row is nearest to stays where it is.
        iterations: How often.
        spherical: Whether centroids are scaled to unit length.

    Returns:
        fp32 (K, d).
    """
    for _ in range(iterations):
        chosen = nearest(rows, centroids)
        counts = torch.bincount(chosen, minlength=len(centroids)).unsqueeze(1)
        means = torch.zeros_like(centroids).index_add_(0, chosen, rows) / counts.clamp(min=1)
        centroids = torch.where(counts > 0, functional.normalize(means, dim=1) if spherical else means, centroids)
    return centroids


def random_rows(rows: Tensor, number: int, seed: int) -> Tensor:
    """Different rows in random order, all of them where there are no more.

    Args:
        rows: (N, d).
        number: How many at most.
        seed: Of the draw, which does not depend on the device.
    """
    order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed))
    return rows[order[:number].to(rows.device)]


def without_gaps(ids: Tensor) -> Tensor:
    """Number clusters anew, in the same order, leaving out those without rows.

    Args:
        ids: int64 (N,), at least 0.

    Returns:
        int64 (N,), 0..K-1, each of them used.
    """
    used = torch.bincount(ids) > 0
    return (used.cumsum(0) - 1)[ids]
