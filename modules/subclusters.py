"""Sub-clusters: groups of similar samples inside each class, of about the same size in every class."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from modules.clustering.bounded_kmeans import bounded_kmeans
from modules.clustering.spherical_kmeans import Backend, spherical_kmeans
from modules.processes import rank_and_world_size, sum_over_processes
from modules.unit_embeddings import check_rows, group_means, unit_embeddings

# Normalized at a time: small enough for the next ones to be written over them.
ROWS_AT_ONCE = 2**15
# Classes are divided within the bound together up to this many rows.
ROWS_OF_A_GROUP = 2**16

Method = Literal["kmeans", "bounded"]


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
    shared: bool = False,
) -> Subclusters:
    """Split every class into sub-clusters about as large as the smallest class.

    With the size bound ``U = max(min_c n_c, min_size)`` over the classes that have samples (Su, Li and Wang, 2025,
    arXiv 2504.04647, algorithm 1):

    - `kmeans`: spherical k-means with ``max(1, floor(n_c / U))`` clusters; empty ones are left out, and sizes are
      not bounded. This is what the authors ran.
    - `bounded`: no sub-cluster is larger than U, as the paper says. One where ``n_c <= U``; otherwise
      ``ceil(n_c / U)`` or up to 12 % more (see `bounded_kmeans`).

    A class is clustered by itself: but for rounding, other classes do not change what is found in it.

    Args:
        embeddings: Floating point (N, d), any device; normalized inside.
        labels: int64 (N,) in 0..C-1, before any resampling.
        num_classes: Number of classes C; classes may be without samples.
        min_size: Smallest size bound (delta of the paper), at least 1.
        method: `kmeans` or `bounded`.
        seed: Seed of k-means; equal inputs and seeds give equal results.
        previous: int64 (N,), sub-clusters of the same samples found before, whose means are where k-means starts.
            Sub-clusters keep their numbers unless one of them lost all samples. `bounded` starts afresh in a class
            where one is larger than U.
        backend: What runs `kmeans`: FAISS, on the GPU where the embeddings are and FAISS can use it, though it reads
            them from the host; torch, where the embeddings are; auto: torch on a GPU, else FAISS. `bounded` runs in
            torch.
        shared: Whether the processes of `torch.distributed` share out the classes. All of them call this with the
            same arguments and get the same result, whatever their number.

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
    if previous is not None and (previous.shape != labels.shape or previous.dtype != torch.int64):
        raise ValueError(
            f"previous must be int64 of shape {tuple(labels.shape)}, got {previous.dtype} {tuple(previous.shape)}"
        )
    classes = labels.to(embeddings.device)
    counts = torch.bincount(classes, minlength=num_classes)
    sizes = counts.tolist()
    bound = max(min(size for size in sizes if size > 0), min_size)
    members = torch.split(classes.argsort(stable=True), sizes)
    ids, per_class = torch.zeros_like(classes), torch.zeros_like(counts)
    pieces: list[tuple[Tensor, Tensor, Tensor]] = []
    rank, processes = rank_and_world_size() if shared else (0, 1)
    groups = _groups_of_classes(sizes, ROWS_OF_A_GROUP if method == "bounded" else 0)
    for group in _share_out(groups, sizes, processes)[rank]:
        rows = torch.cat([members[label] for label in group])
        unit = torch.cat(
            [unit_embeddings(embeddings.index_select(0, some)) for some in torch.split(rows, ROWS_AT_ONCE)]
        )
        before = None if previous is None else previous.to(rows.device).index_select(0, rows)
        own_sizes = [sizes[label] for label in group]
        if method == "bounded":
            found = bounded_kmeans(unit, bound, seed, before, own_sizes)
        else:
            found = spherical_kmeans(unit, bound, seed, before, own_sizes, backend)
        own_centroids, _ = group_means(unit, found, int(found.max()) + 1)
        owners = classes.new_empty(len(own_centroids)).scatter_(0, found, classes[rows])
        own_counts = torch.bincount(owners, minlength=num_classes)
        places = torch.arange(len(owners), device=owners.device) - _firsts(own_counts)[owners]
        per_class += own_counts
        ids[rows] = places[found]
        pieces.append((owners, places, own_centroids))
    if shared:
        sum_over_processes(ids)
        sum_over_processes(per_class)
    firsts = _firsts(per_class)
    ids += firsts[classes]
    centroids = torch.zeros(int(per_class.sum()), embeddings.shape[1], device=embeddings.device)
    for owners, places, own_centroids in pieces:
        centroids[firsts[owners] + places] = own_centroids
    if shared:
        sum_over_processes(centroids)
    class_of = torch.arange(num_classes, device=ids.device).repeat_interleave(per_class)
    return Subclusters(ids, class_of, centroids)


def _firsts(counts: Tensor) -> Tensor:
    """Number of the first sub-cluster of each class."""
    return counts.cumsum(0) - counts


def _groups_of_classes(sizes: list[int], most_rows: int) -> list[list[int]]:
    """Classes with samples; small ones together as long as they have no more than some rows."""
    groups: list[list[int]] = []
    rows = most_rows
    for label in sorted((label for label, size in enumerate(sizes) if size > 0), key=lambda label: -sizes[label]):
        if rows + sizes[label] > most_rows:
            groups.append([])
            rows = 0
        groups[-1].append(label)
        rows += sizes[label]
    return [sorted(group) for group in groups]


def _share_out(groups: list[list[int]], sizes: list[int], processes: int) -> list[list[list[int]]]:
    """The groups of each process: the largest first, each to the process with the fewest rows so far."""
    shares: list[list[list[int]]] = [[] for _ in range(processes)]
    loads = [0] * processes
    for rows, group in sorted(((sum(sizes[label] for label in group), group) for group in groups), reverse=True):
        process = loads.index(min(loads))
        shares[process].append(group)
        loads[process] += rows
    return shares


@torch.no_grad()
def nearest_subclusters(embeddings: Tensor, labels: Tensor, centroids: Tensor, class_of: Tensor) -> Tensor:
    """Find the sub-cluster of each sample's class whose centroid is nearest to its unit embedding.

    Args:
        embeddings: Floating point (B, d); normalized inside.
        labels: int64 (B,).
        centroids: fp32 (K, d).
        class_of: Class of each sub-cluster, int64 (K,).

    Returns:
        int64 (B,). For a sample of a class without sub-clusters, `K + label`: a sub-cluster of its own class.
    """
    with torch.autocast(embeddings.device.type, enabled=False):
        offsets = -0.5 * centroids.square().sum(dim=1)
        scores = torch.addmm(offsets, unit_embeddings(embeddings), centroids.T)
    best, found = scores.masked_fill_(labels.unsqueeze(1) != class_of.unsqueeze(0), -torch.inf).max(dim=1)
    return torch.where(best.isfinite(), found, len(centroids) + labels)


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
