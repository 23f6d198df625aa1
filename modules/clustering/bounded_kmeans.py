"""K-means with bounded cluster sizes, for millions of rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from modules.clustering.lloyd import lloyd, nearest, random_rows, relabel_consecutively
from modules.unit_embeddings import group_means

# The cost grows with rows times clusters, so larger problems are first divided into parts of the rows.
MAX_CLUSTERS_PER_PART = 24
TYPICAL_CLUSTERS_PER_PART = 16
MAX_PARTS = 400
PART_ITERATIONS = 5
SAMPLE_ROWS_PER_PART = 128
# Spare clusters let clusters follow the data; with all clusters full, the bound would cut through dense regions.
SPARE_FACTOR = 1.12
ITERATIONS = 4
# Prices fitted to the previous centroids are too high for the updated ones.
PRICE_DECAY = 0.5
# Bounds the rows of the parts that are clustered together: 32 MiB in fp32.
MAX_BATCH_ELEMENTS = 2**23
# In smaller batches, launching an operation takes longer than computing on the padding.
SMALL_BATCH_ELEMENTS = 2**21


@dataclass(frozen=True)
class _Part:
    """Subset of the rows and the clusters that they are divided into.

    Attributes:
        members: Indices of the rows, int64 (n,).
        clusters: Numbers of the clusters, int64 (k,), with `k * bound >= n` and `k <= n`.
        centroids: Initial centroids, fp32 (k, d); None for random rows.
    """

    members: Tensor
    clusters: Tensor
    centroids: Tensor | None = None


def clusters_within_bound(rows: int, bound: int) -> int:
    """Number of clusters that rows are divided into: at least `ceil(rows / bound)`, and up to 12% more.

    Args:
        rows: Number of rows.
        bound: Largest number of rows of a cluster.

    Returns:
        Number of clusters, at most the number of rows.
    """
    return min(rows, max(-(-rows // bound), int(SPARE_FACTOR * rows / bound)))


@torch.no_grad()
def bounded_kmeans(
    rows: Tensor, bound: int, seed: int = 0, previous: Tensor | None = None, class_sizes: list[int] | None = None
) -> Tensor:
    """Divide rows into clusters of at most `bound` rows.

    The rows are first divided by plain k-means into parts of few clusters. Within a part, Lloyd's algorithm assigns
    each row to the centroid of the highest score minus the price of the cluster. In each iteration a cluster of more
    than `bound` rows raises its price such that its surplus, the rows that lose least, prefers other clusters. Clusters
    that are too large after the last iteration pass on the rows of the lowest scores. Parts of several classes are
    processed in one batch.

    Args:
        rows: Rows, fp32 (N, d), finite, ordered by class, on any device.
        bound: Largest number of rows of a cluster, at least 1.
        seed: Random seed; equal arguments and seeds give equal clusters.
        previous: Previous cluster of each row, int64 (N,). The algorithm starts from their means, and parts are groups
            of neighboring clusters. A class with a previous cluster larger than the bound starts from random rows.
        class_sizes: Number of rows of each class, at least 1; clusters do not cross classes. None for a single class.

    Returns:
        Cluster of each row, int64 (N,), 0..K-1 without gaps, ordered by class, at most `clusters_within_bound` for each
        class; clusters of a class keep the order of the previous ones.
    """
    parts, start, number = [], 0, 0
    for size in [len(rows)] if class_sizes is None else class_sizes:
        inside = rows[start : start + size]
        before = None if previous is None else relabel_consecutively(previous[start : start + size])
        sizes_before = None if before is None else torch.bincount(before)
        if before is not None and sizes_before is not None and int(sizes_before.max()) <= bound:
            found, clusters = _group_previous(inside, before, seed), len(sizes_before)
        else:
            found, clusters = _divide(inside, bound, seed), clusters_within_bound(size, bound)
        parts += [_Part(part.members + start, part.clusters + number, part.centroids) for part in found]
        start, number = start + size, number + clusters
    ids = torch.empty(len(rows), dtype=torch.int64, device=rows.device)
    for batch in _batches(parts, rows.shape[1]):
        for part, chosen in zip(batch, _cluster(rows, batch, bound, seed), strict=True):
            ids[part.members] = part.clusters[chosen]
    return relabel_consecutively(ids)


def _divide(rows: Tensor, bound: int, seed: int) -> list[_Part]:
    """Divide rows into parts of at most `MAX_CLUSTERS_PER_PART` clusters."""
    clusters_of_all = torch.arange(clusters_within_bound(len(rows), bound), device=rows.device)
    waiting, done = [_Part(torch.arange(len(rows), device=rows.device), clusters_of_all)], []
    while waiting:
        part = waiting.pop()
        rows_in, clusters = len(part.members), len(part.clusters)
        if clusters <= MAX_CLUSTERS_PER_PART:
            done.append(part)
            continue
        inside = rows.index_select(0, part.members) if rows_in < len(rows) else rows
        # Each part may need one cluster more than its share, because its number of clusters is rounded up.
        spare = clusters - -(-rows_in // bound)
        number = max(min(MAX_PARTS, round(clusters / TYPICAL_CLUSTERS_PER_PART), spare), 2)
        sample = random_rows(inside, SAMPLE_ROWS_PER_PART * number, seed)
        centroids = lloyd(sample, sample[:number], PART_ITERATIONS)
        chosen = nearest(inside, centroids)
        sizes = torch.bincount(chosen, minlength=number).tolist()
        if spare < number or max(sizes) == rows_in:
            # Without spare clusters for parts of any size, or if all rows are equal: halve the rows along a line.
            order = (inside @ (centroids[0] - centroids[1])).argsort(stable=True)
            shares = [clusters // 2, clusters - clusters // 2]
            sizes = [rows_in * shares[0] // clusters, rows_in - rows_in * shares[0] // clusters]
        else:
            order, shares = chosen.argsort(stable=True), _share_out(clusters, sizes, bound)
        members = torch.split(part.members[order], sizes)
        numbers = torch.split(part.clusters[: sum(shares)], shares)
        waiting += [_Part(*child) for child in zip(members, numbers, strict=True) if len(child[0]) > 0]
    return done


def _share_out(clusters: int, sizes: list[int], bound: int) -> list[int]:
    """Distribute clusters over parts in proportion to their rows, to each at least the number that it needs."""
    needed = [-(-size // bound) for size in sizes]
    spare, total = clusters - sum(needed), sum(sizes)
    return [min(least + spare * size // total, size) for least, size in zip(needed, sizes, strict=True)]


def _group_previous(rows: Tensor, previous: Tensor, seed: int) -> list[_Part]:
    """Divide rows into parts by grouping neighboring previous clusters."""
    centroids, counts = group_means(rows, previous, int(previous.max()) + 1)
    group = bounded_kmeans(centroids, MAX_CLUSTERS_PER_PART, seed)
    number = int(group.max()) + 1
    clusters = group.argsort(stable=True)
    group_sizes = torch.bincount(group, minlength=number)
    row_sizes = torch.zeros_like(group_sizes).index_add_(0, group, counts)
    members = group[previous].argsort(stable=True)
    pairs = zip(torch.split(members, row_sizes.tolist()), torch.split(clusters, group_sizes.tolist()), strict=True)
    return [_Part(inside, numbers, centroids[numbers]) for inside, numbers in pairs]


def _batches(parts: list[_Part], width: int) -> Iterator[list[_Part]]:
    """Batch parts of similar size, which need little padding."""
    batch: list[_Part] = []
    for part in sorted(parts, key=lambda part: -len(part.members)):
        elements = len(batch) * len(batch[0].members) * width if batch else 0
        differs = elements > SMALL_BATCH_ELEMENTS and len(part.members) < 0.8 * len(batch[0].members)
        if differs or elements * (len(batch) + 1) > len(batch) * MAX_BATCH_ELEMENTS:
            yield batch
            batch = []
        batch.append(part)
    yield batch


def _cluster(rows: Tensor, batch: list[_Part], bound: int, seed: int) -> list[Tensor]:
    """Cluster the rows of each part, as indices into the clusters of the part."""
    device, number = rows.device, len(batch)
    sizes = [len(part.members) for part in batch]
    longest, most = max(sizes), max(len(part.clusters) for part in batch)
    present = torch.arange(longest, device=device) < torch.tensor(sizes, device=device).unsqueeze(1)
    own = torch.tensor([len(part.clusters) for part in batch], device=device)
    absent = torch.arange(most, device=device) >= own.unsqueeze(1)
    members = pad_sequence([part.members for part in batch], batch_first=True)
    points = rows.index_select(0, members.flatten()).view(number, longest, -1)
    starts = [
        random_rows(points[place, :size], len(part.clusters), seed) if part.centroids is None else part.centroids
        for place, (size, part) in enumerate(zip(sizes, batch, strict=True))
    ]
    centroids = pad_sequence(starts, batch_first=True)
    # Padding rows are assigned to an additional cluster, which is ignored.
    shift, nowhere = torch.arange(number, device=device).unsqueeze(1) * most, number * most
    prices = torch.zeros(number, most, device=device)
    for iteration in range(ITERATIONS + 1):
        offsets = (-0.5 * centroids.square().sum(dim=2) - prices).masked_fill(absent, -torch.inf)
        scores = torch.baddbmm(offsets.unsqueeze(1), points, centroids.transpose(1, 2))
        if iteration == ITERATIONS:
            break
        chosen = (scores.argmax(dim=2) + shift).masked_fill_(~present, nowhere).flatten()
        _raise_prices(scores, chosen, prices, bound)
        means, counts = group_means(points.flatten(0, 1), chosen, nowhere + 1)
        used = (counts[:nowhere] > 0).view(number, most, 1)
        centroids = torch.where(used, means[:nowhere].view_as(centroids), centroids)
        prices *= PRICE_DECAY
    found = _within_bound(scores, present, bound)
    return [row[:size] for row, size in zip(found, sizes, strict=True)]


def _raise_prices(scores: Tensor, chosen: Tensor, prices: Tensor, bound: int) -> None:
    """Raise the prices of clusters that are too large such that their surplus moves to the next best clusters.

    Args:
        scores: Scores after subtracting the current prices, fp32 (parts, rows, clusters).
        chosen: Cluster of each row as an index into the clusters of all parts, int64 (parts * rows,), the number of
            these clusters for padding. Updated in place for the surplus.
        prices: Prices, fp32 (parts, clusters). Updated in place.
        bound: Largest number of rows of a cluster.
    """
    parts, rows, clusters = scores.shape
    counts = torch.bincount(chosen, minlength=parts * clusters + 1)
    counts[-1] = 0
    crowded = counts > bound
    inside = crowded.index_select(0, chosen).nonzero().squeeze(1)
    if len(inside) == 0:
        return
    own = chosen.index_select(0, inside)
    offers = scores.view(-1, clusters).index_select(0, inside)
    place = (own - inside // rows * clusters).unsqueeze(1)
    best = offers.gather(1, place).squeeze(1)
    second, other = offers.scatter_(1, place, -torch.inf).max(dim=1)
    loss = best - second
    # The loss is scaled below 1, so that a single sort orders by cluster and then by loss.
    order = (own.double() + 0.5 * loss / loss.max().clamp(min=1e-30)).argsort()
    crowd = counts[crowded]
    starts, surplus = crowd.cumsum(0) - crowd, crowd - bound
    queue = torch.arange(len(inside), device=inside.device) - starts.repeat_interleave(crowd)
    leaving = order[queue < surplus.repeat_interleave(crowd)]
    chosen[inside[leaving]] = inside[leaving] // rows * clusters + other[leaving]
    prices.view(-1)[crowded[:-1]] += loss[order[starts + surplus - 1]]


def _within_bound(scores: Tensor, present: Tensor, bound: int) -> Tensor:
    """Assign each row to the best cluster with free space; full clusters keep the rows of the highest scores.

    Rows of equal scores are assigned in order, so identical rows fill one cluster after the other.

    Args:
        scores: Scores, fp32 (parts, rows, clusters); -inf for clusters that a part does not have.
        present: Which rows are not padding, bool (parts, rows).
        bound: Largest number of rows of a cluster.

    Returns:
        Cluster of each row within its part, int64 (parts, rows); 0 for padding.
    """
    parts, rows, clusters = scores.shape
    flat_scores = scores.reshape(-1, clusters)
    assigned = torch.zeros(parts * rows, dtype=torch.int64, device=scores.device)
    room = torch.full((parts * clusters,), bound, device=scores.device)
    waiting = present.flatten().nonzero().squeeze(1)
    while len(waiting) > 0:
        part = waiting // rows
        no_room = torch.where(room > 0, 0.0, -torch.inf).view(parts, clusters)
        offers = flat_scores.index_select(0, waiting) + no_room.index_select(0, part)
        best, wanted = offers.max(dim=1)
        queue = part * clusters + wanted
        assigned[waiting] = wanted
        counts = torch.bincount(queue, minlength=len(room))
        crowded = counts > room
        contested = crowded[queue].nonzero().squeeze(1)
        contested = contested[best[contested].argsort(descending=True, stable=True)]
        contested = contested[queue[contested].argsort(stable=True)]
        crowd = counts * crowded
        place = torch.arange(len(contested), device=queue.device) - (crowd.cumsum(0) - crowd)[queue[contested]]
        turned_away = contested[place >= room[queue[contested]]]
        room = (room - counts).clamp(min=0)
        waiting = waiting[turned_away].sort().values
    return assigned.view(parts, rows)
