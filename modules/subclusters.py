"""Sub-clusters: groups of similar samples inside each class, of about the same size in every class."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from modules.bounded_kmeans import bounded_kmeans
from modules.lloyd import lloyd, nearest, random_rows
from modules.unit_embeddings import check_rows, group_means, unit_embeddings

KMEANS_ITERATIONS = 20
# With fewer similarities an iteration, setting up the GPU takes longer than the k-means itself.
GPU_SIMILARITIES = 2**22

Method = Literal["kmeans", "bounded"]
Backend = Literal["auto", "faiss", "torch"]


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
    method: Method = "kmeans",
    seed: int = 0,
    previous: Tensor | None = None,
    backend: Backend = "auto",
) -> Subclusters:
    """Split every class into sub-clusters about as large as the smallest class.

    With the size bound ``U = max(min_c n_c, min_size)`` over the classes that have samples (Su, Li and Wang, 2025,
    arXiv 2504.04647, algorithm 1):

    - `kmeans`: spherical k-means with ``max(1, floor(n_c / U))`` clusters; empty ones are left out, and sizes are
      not bounded. This is what the authors ran.
    - `bounded`: no sub-cluster is larger than U, as the paper says. One where ``n_c <= U``; otherwise
      ``ceil(n_c / U)`` or up to 12 % more (see `bounded_kmeans`).

    A class is clustered by itself: other classes do not change what is found in it.

    Args:
        embeddings: Floating point (N, d), any device; normalised inside.
        labels: int64 (N,) in 0..C-1, before any resampling.
        num_classes: Number of classes C; classes may be without samples.
        min_size: Smallest size bound (delta of the paper), at least 1.
        method: `kmeans` or `bounded`.
        seed: Seed of k-means; equal inputs and seeds give equal results.
        previous: int64 (N,), sub-clusters of the same samples found before, whose means are where k-means starts.
            Sub-clusters keep their numbers unless one of them lost all samples. `bounded` starts afresh in a class
            where one is larger than U.
        backend: What runs `kmeans`: FAISS, on the GPU where the embeddings are on one and FAISS supports it; torch,
            on the device of the embeddings; auto: FAISS unless the embeddings are on a GPU and FAISS cannot use it.
            `bounded` runs in torch.

    Returns:
        The sub-clusters, on the embeddings' device.

    Raises:
        ValueError: Where an argument is out of range, a shape or label is invalid, or an embedding holds NaN or
            an infinite value (the message names the classes affected).
    """
    if method not in ("kmeans", "bounded"):
        raise ValueError(f"method must be 'kmeans' or 'bounded', got {method!r}")
    if backend not in ("auto", "faiss", "torch"):
        raise ValueError(f"backend must be 'auto', 'faiss' or 'torch', got {backend!r}")
    if min_size < 1:
        raise ValueError(f"min_size must be at least 1, got {min_size}")
    check_rows("embeddings", embeddings, labels, num_classes)
    if previous is not None and (previous.shape != labels.shape or previous.dtype != torch.int64):
        raise ValueError(
            f"previous must be int64 of shape {tuple(labels.shape)}, got {previous.dtype} {tuple(previous.shape)}"
        )
    unit, classes = unit_embeddings(embeddings), labels.to(embeddings.device)
    counts = torch.bincount(classes, minlength=num_classes)
    bound = max(int(counts[counts > 0].min()), min_size)
    with_faiss = method == "kmeans" and (backend == "faiss" or (backend == "auto" and _faiss_can_use(unit)))
    ids = torch.empty_like(classes)
    class_of: list[int] = []
    for label, rows in enumerate(torch.split(classes.argsort(stable=True), counts.tolist())):
        if len(rows) > bound:
            before = None if previous is None else torch.unique(previous.to(rows.device)[rows], return_inverse=True)[1]
            if method == "bounded":
                fits = before is not None and int(torch.bincount(before).max()) <= bound
                found = bounded_kmeans(unit[rows], bound, seed, before if fits else None)
            else:
                found = _kmeans(unit[rows], len(rows) // bound, seed, before, with_faiss)
            ids[rows] = found + len(class_of)
            class_of += [label] * (int(found.max()) + 1)
        elif len(rows) > 0:
            ids[rows] = len(class_of)
            class_of.append(label)
    centroids, _ = group_means(unit, ids, len(class_of))
    return Subclusters(ids, torch.tensor(class_of, device=embeddings.device), centroids)


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


def _faiss_can_use(rows: Tensor) -> bool:
    import faiss

    return not rows.is_cuda or faiss.get_num_gpus() > 0


def _kmeans(unit: Tensor, clusters: int, seed: int, previous: Tensor | None, with_faiss: bool) -> Tensor:
    """Spherical k-means; empty clusters are left out."""
    start = None if previous is None else group_means(unit, previous, int(previous.max()) + 1)[0]
    clusters = clusters if start is None else len(start)
    if clusters == 1:
        return torch.zeros(len(unit), dtype=torch.int64, device=unit.device)
    if with_faiss:
        found = _faiss_kmeans(unit, clusters, seed, start)
    else:
        start = random_rows(unit, clusters, seed) if start is None else unit_embeddings(start)
        found = nearest(unit, lloyd(unit, start, KMEANS_ITERATIONS, spherical=True))
    without_gaps: Tensor = torch.unique(found, return_inverse=True)[1]
    return without_gaps


def _faiss_kmeans(unit: Tensor, clusters: int, seed: int, start: Tensor | None) -> Tensor:
    import faiss

    worth_it = len(unit) * clusters >= GPU_SIMILARITIES
    kmeans = faiss.Kmeans(
        unit.shape[1],
        clusters,
        niter=KMEANS_ITERATIONS,
        spherical=True,
        min_points_per_centroid=1,
        max_points_per_centroid=len(unit),
        seed=seed,
        gpu=unit.is_cuda and worth_it and faiss.get_num_gpus() > 0,
    )
    rows = unit.cpu().numpy()
    kmeans.train(rows, init_centroids=None if start is None else start.cpu().numpy())
    return torch.from_numpy(kmeans.assign(rows)[1]).to(unit.device)


def share_moved(previous: Tensor, ids: Tensor, class_of: Tensor) -> float:
    """How many samples left their sub-cluster, of those whose class has more than one.

    A sub-cluster goes on as the one that most of its samples are in afterwards, the first of several.

    Args:
        previous: int64 (N,), sub-clusters found before.
        ids: int64 (N,), sub-clusters of the same samples found after that.
        class_of: int64 (K,), class of each sub-cluster in `ids`.

    Returns:
        0..1; 0 where no class has more than one.
    """
    several = (torch.bincount(class_of) > 1)[class_of[ids]]
    before, after = previous[several], ids[several]
    if len(before) == 0:
        return 0.0
    pairs, counts = torch.unique(torch.stack([before, after]), dim=1, return_counts=True)
    most = counts.new_zeros(int(before.max()) + 1).scatter_reduce_(0, pairs[0], counts, reduce="amax")
    return 1 - float(most.sum()) / len(before)
