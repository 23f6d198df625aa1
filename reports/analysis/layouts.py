"""Two-dimensional layouts of embeddings."""

from __future__ import annotations

from typing import Any

import numpy
from numpy.typing import NDArray


def principal_components(embeddings: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Project vectors (n, d) onto the two directions of largest variance.

    Returns:
        float32 (n, 2), and the share of the variance along each direction, (2,).
    """
    centered = embeddings.astype(numpy.float64) - embeddings.mean(axis=0)
    if centered.shape[1] < 2:
        centered = numpy.pad(centered, ((0, 0), (0, 2 - centered.shape[1])))
    variances, directions = numpy.linalg.eigh(centered.T @ centered)
    chosen = directions[:, [-1, -2]]
    # The sign of an eigenvector is arbitrary; making its largest entry positive keeps maps from flipping.
    chosen = chosen * numpy.sign(chosen[numpy.abs(chosen).argmax(axis=0), [0, 1]])
    total = max(float(variances.sum()), 1e-12)
    return (centered @ chosen).astype(numpy.float32), variances[[-1, -2]].clip(0) / total


def umap_layout(embeddings: NDArray[Any], seed: int = 0) -> NDArray[Any]:
    """Lay out vectors (n, d) with UMAP, by cosine distance.

    Args:
        embeddings: At least four vectors.
        seed: Random seed.

    Returns:
        float32 (n, 2).
    """
    import umap

    neighbors = min(15, len(embeddings) - 1)
    layout = umap.UMAP(n_neighbors=neighbors, metric="cosine", random_state=seed, n_jobs=1).fit_transform(embeddings)
    return numpy.asarray(layout, dtype=numpy.float32)
