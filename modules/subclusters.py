"""Sub-clusters: groups of similar samples within each class, of about the same size in all classes."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from modules.clustering.bounded_kmeans import bounded_kmeans
from modules.clustering.spherical_kmeans import Backend, spherical_kmeans
from modules.processes import rank_and_world_size, sum_over_processes
from modules.unit_embeddings import check_rows, group_means, unit_embeddings

# Rows normalized at a time; small blocks let the allocator reuse their memory.
NORMALIZED_ROWS = 2**15
# Small classes are clustered together up to this number of rows with the method `bounded`.
MAX_ROWS_PER_GROUP = 2**16

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
    """Divide each class into sub-clusters about as large as the smallest class.

    With the size bound ``U = max(min_c n_c, min_size)`` over the classes with samples (Su, Li and Wang, 2025, arXiv
    2504.04647, algorithm 1):

    - `kmeans`: spherical k-means with ``max(1, floor(n_c / U))`` sub-clusters, as in the authors' code. Empty
      sub-clusters are dropped, and sizes are not bounded.
    - `bounded`: no sub-cluster is larger than U, as described in the paper. A class with ``n_c <= U`` has one
      sub-cluster, a larger class ``ceil(n_c / U)`` or up to 12% more (see `bounded_kmeans`).

    Each class is clustered independently: apart from rounding errors, the result does not depend on other classes.

    Args:
        embeddings: Embeddings, floating point (N, d), of any norm, on any device.
        labels: Labels, int64 (N,) in 0..C-1, before any resampling.
        num_classes: Number of classes C; classes may have no samples.
        min_size: Smallest size bound (delta in the paper), at least 1.
        method: `kmeans` or `bounded`.
        seed: Random seed; equal inputs and seeds give equal results.
        previous: Previous sub-cluster of each sample, int64 (N,); k-means starts from their means, and sub-clusters
            keep their order. `bounded` starts from random samples in a class with a previous sub-cluster larger than U.
        backend: Implementation of `kmeans`. `faiss` copies embeddings to the host and uses a GPU if the embeddings are
            on one and FAISS supports it; `torch` runs on the device of the embeddings; `auto` is `torch` on a GPU and
            `faiss` elsewhere. The method `bounded` always uses torch.
        shared: Whether the processes of `torch.distributed` share the work. All processes must then call this function
            with the same arguments; the result does not depend on their number.

    Returns:
        The sub-clusters, on the device of the embeddings.

    Raises:
        ValueError: If an argument is out of range, a shape or label is invalid, or an embedding is not finite; the
            message names the affected classes.
    """
    if method not in ("kmeans", "bounded"):
        raise ValueError(f"method: expected 'kmeans' or 'bounded', got {method!r}.")
    if min_size < 1:
        raise ValueError(f"min_size: expected 1 or more, got {min_size}.")
    check_rows("embeddings", embeddings, labels, num_classes)
    if previous is not None and (previous.shape != labels.shape or previous.dtype != torch.int64):
        raise ValueError(
            f"previous: expected int64 of shape {tuple(labels.shape)}, got {previous.dtype} {tuple(previous.shape)}."
        )
    classes = labels.to(embeddings.device)
    counts = torch.bincount(classes, minlength=num_classes)
    sizes = counts.tolist()
    bound = max(min(size for size in sizes if size > 0), min_size)
    members = torch.split(classes.argsort(stable=True), sizes)
    ids, per_class = torch.zeros_like(classes), torch.zeros_like(counts)
    pieces: list[tuple[Tensor, Tensor, Tensor]] = []
    rank, processes = rank_and_world_size() if shared else (0, 1)
    groups = _groups_of_classes(sizes, MAX_ROWS_PER_GROUP if method == "bounded" else 0)
    for group in _share_out(groups, sizes, processes)[rank]:
        rows = torch.cat([members[label] for label in group])
        unit = torch.cat(
            [unit_embeddings(embeddings.index_select(0, some)) for some in torch.split(rows, NORMALIZED_ROWS)]
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
    """Number of the first sub-cluster of each class, (C,), from the number in each class."""
    return counts.cumsum(0) - counts


def _groups_of_classes(sizes: list[int], max_rows: int) -> list[list[int]]:
    """Group the classes with samples such that a group of several classes has at most `max_rows` rows."""
    groups: list[list[int]] = []
    rows = max_rows
    for label in sorted((label for label, size in enumerate(sizes) if size > 0), key=lambda label: -sizes[label]):
        if rows + sizes[label] > max_rows:
            groups.append([])
            rows = 0
        groups[-1].append(label)
        rows += sizes[label]
    return [sorted(group) for group in groups]


def _share_out(groups: list[list[int]], sizes: list[int], processes: int) -> list[list[list[int]]]:
    """Assign groups to processes: from the largest on, each to the process with the fewest rows."""
    shares: list[list[list[int]]] = [[] for _ in range(processes)]
    loads = [0] * processes
    for rows, group in sorted(((sum(sizes[label] for label in group), group) for group in groups), reverse=True):
        process = loads.index(min(loads))
        shares[process].append(group)
        loads[process] += rows
    return shares


@torch.no_grad()
def nearest_subclusters(embeddings: Tensor, labels: Tensor, centroids: Tensor, class_of: Tensor) -> Tensor:
    """Find the nearest sub-cluster of each sample's class, by the distance from its unit embedding to the centroids.

    Args:
        embeddings: Embeddings, floating point (B, d), of any norm.
        labels: Labels, int64 (B,).
        centroids: Centroids, fp32 (K, d).
        class_of: Class of each sub-cluster, int64 (K,).

    Returns:
        Sub-cluster of each sample, int64 (B,); `K + label` for samples of a class without sub-clusters, so that no two
        classes share a sub-cluster.
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
        int64 (C,); 0 for a class without samples.

    Raises:
        ValueError: If a class is outside 0..C-1.
    """
    if class_of.numel() > 0 and not 0 <= int(class_of.min()) <= int(class_of.max()) < num_classes:
        raise ValueError(
            f"class_of: expected values in 0..{num_classes - 1}, got {int(class_of.min())}..{int(class_of.max())}."
        )
    return torch.bincount(class_of, minlength=num_classes)


def share_moved(previous: Tensor, ids: Tensor, class_of: Tensor) -> float:
    """Compute the share of samples that changed their sub-cluster, among classes with more than one.

    A previous sub-cluster is identified with the new one that most of its samples are in.

    Args:
        previous: Previous sub-cluster of each sample, int64 (N,).
        ids: New sub-cluster of each sample, int64 (N,).
        class_of: Class of each new sub-cluster, int64 (K,).

    Returns:
        Share in 0..1; 0 if no class has more than one sub-cluster.
    """
    several = (torch.bincount(class_of) > 1)[class_of[ids]]
    before, after = previous.to(ids.device)[several], ids[several]
    if len(before) == 0:
        return 0.0
    pairs, counts = torch.unique(torch.stack([before, after]), dim=1, return_counts=True)
    most = counts.new_zeros(int(before.max()) + 1).scatter_reduce_(0, pairs[0], counts, reduce="amax")
    return 1 - float(most.sum()) / len(before)
