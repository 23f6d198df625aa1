"""K-means whose clusters hold no more than a given number of rows, for millions of rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from modules.clustering.lloyd import lloyd, nearest, random_rows, without_gaps
from modules.unit_embeddings import group_means

# Up to this many clusters are found at once; more are first shared out among parts of the rows, since the work grows
# with rows times clusters.
CLUSTERS_AT_ONCE = 24
CLUSTERS_OF_A_PART = 16
MOST_PARTS = 400
PART_ITERATIONS = 5
ROWS_PER_PART = 128
# Room to spare lets clusters follow the data where a bound that is filled exactly would cut through them.
SPARE_CLUSTERS = 1.12
ROUNDS = 4
# Prices that were right for the last centroids are too high for the next.
KEPT_PRICE = 0.5
# Of the rows of the parts that are clustered together: 32 MiB.
BATCH_ELEMENTS = 2**23
# With fewer, starting an operation takes longer than padding does.
SMALL_BATCH_ELEMENTS = 2**21


@dataclass(frozen=True)
class _Part:
    """Some of the rows and the clusters to divide them into.

    Attributes:
        members: int64 (n,), places of the rows.
        clusters: int64 (k,), numbers of the clusters, with `k * bound >= n` and `k <= n`.
        centroids: fp32 (k, d) to start from, or None for random rows.
    """

    members: Tensor
    clusters: Tensor
    centroids: Tensor | None = None


def clusters_within_bound(rows: int, bound: int) -> int:
    """How many clusters rows are divided into: `ceil(rows / bound)`, or 12 % more where that is a whole one.

    Args:
        rows: Number of rows.
        bound: Most rows of a cluster.
    """
    return min(rows, max(-(-rows // bound), int(SPARE_CLUSTERS * rows / bound)))


@torch.no_grad()
def bounded_kmeans(
    rows: Tensor, bound: int, seed: int = 0, previous: Tensor | None = None, class_sizes: list[int] | None = None
) -> Tensor:
    """Divide rows into clusters of at most `bound` rows.

    Many clusters are first shared out among parts of the rows, found by plain k-means. Within a part, Lloyd's
    iterations give each row to the nearest centroid, after a price for crowded ones: a cluster that is too large raises
    its price, in each iteration, by what sends its surplus, the rows that lose least, elsewhere. What is still too
    large at the end hands on its farthest rows. Parts of several classes are worked on together, which saves time.

    Args:
        rows: fp32 (N, d), finite, any device.
        bound: Most rows of a cluster, at least 1.
        seed: Equal arguments and seeds give equal clusters.
        previous: int64 (N,), clusters of the same rows found before, whose means to start from; parts are then groups
            of neighboring clusters. A class where one of them is larger than the bound starts afresh.
        class_sizes: Rows of each class, one class after the other, at least 1; no cluster has rows of two classes.
            None for a single class.

    Returns:
        int64 (N,), 0..K-1 without gaps, ordered by class, with at most `clusters_within_bound` for each class. Clusters
        of a class keep the order of the previous ones.
    """
    parts, start, number = [], 0, 0
    for size in [len(rows)] if class_sizes is None else class_sizes:
        inside = rows[start : start + size]
        before = None if previous is None else without_gaps(previous[start : start + size])
        sizes_before = None if before is None else torch.bincount(before)
        if before is not None and sizes_before is not None and int(sizes_before.max()) <= bound:
            found, clusters = _neighbors(inside, before, seed), len(sizes_before)
        else:
            found, clusters = _divide(inside, bound, seed), clusters_within_bound(size, bound)
        parts += [_Part(part.members + start, part.clusters + number, part.centroids) for part in found]
        start, number = start + size, number + clusters
    ids = torch.empty(len(rows), dtype=torch.int64, device=rows.device)
    for batch in _batches(parts, rows.shape[1]):
        for part, chosen in zip(batch, _cluster(rows, batch, bound, seed), strict=True):
            ids[part.members] = part.clusters[chosen]
    return without_gaps(ids)


def _divide(rows: Tensor, bound: int, seed: int) -> list[_Part]:
    """Parts of few clusters."""
    clusters_of_all = torch.arange(clusters_within_bound(len(rows), bound), device=rows.device)
    waiting, done = [_Part(torch.arange(len(rows), device=rows.device), clusters_of_all)], []
    while waiting:
        part = waiting.pop()
        rows_in, clusters = len(part.members), len(part.clusters)
        if clusters <= CLUSTERS_AT_ONCE:
            done.append(part)
            continue
        inside = rows.index_select(0, part.members) if rows_in < len(rows) else rows
        # Each part may need one cluster more than its share, since the number is rounded up.
        spare = clusters - -(-rows_in // bound)
        number = max(min(MOST_PARTS, round(clusters / CLUSTERS_OF_A_PART), spare), 2)
        sample = random_rows(inside, ROWS_PER_PART * number, seed)
        centroids = lloyd(sample, sample[:number], PART_ITERATIONS)
        chosen = nearest(inside, centroids)
        sizes = torch.bincount(chosen, minlength=number).tolist()
        if spare < number or max(sizes) == rows_in:
            # No room for parts of any size, or rows that are all alike: half of the rows along a line.
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
    """Divide clusters among parts in proportion to their rows, to each at least what it needs."""
    needed = [-(-size // bound) for size in sizes]
    spare, total = clusters - sum(needed), sum(sizes)
    return [min(least + spare * size // total, size) for least, size in zip(needed, sizes, strict=True)]


def _neighbors(rows: Tensor, previous: Tensor, seed: int) -> list[_Part]:
    """Groups of neighboring clusters with their rows."""
    centroids, counts = group_means(rows, previous, int(previous.max()) + 1)
    group = bounded_kmeans(centroids, CLUSTERS_AT_ONCE, seed)
    number = int(group.max()) + 1
    clusters = group.argsort(stable=True)
    group_sizes = torch.bincount(group, minlength=number)
    row_sizes = torch.zeros_like(group_sizes).index_add_(0, group, counts)
    members = group[previous].argsort(stable=True)
    pairs = zip(torch.split(members, row_sizes.tolist()), torch.split(clusters, group_sizes.tolist()), strict=True)
    return [_Part(inside, numbers, centroids[numbers]) for inside, numbers in pairs]


def _batches(parts: list[_Part], width: int) -> Iterator[list[_Part]]:
    """Parts of similar size together, so that padding them to one size costs little."""
    batch: list[_Part] = []
    for part in sorted(parts, key=lambda part: -len(part.members)):
        elements = len(batch) * len(batch[0].members) * width if batch else 0
        differs = elements > SMALL_BATCH_ELEMENTS and len(part.members) < 0.8 * len(batch[0].members)
        if differs or elements * (len(batch) + 1) > len(batch) * BATCH_ELEMENTS:
            yield batch
            batch = []
        batch.append(part)
    yield batch


def _cluster(rows: Tensor, batch: list[_Part], bound: int, seed: int) -> list[Tensor]:
    """The cluster of each row of some parts, as its place among the clusters of the part."""
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
    # A row of the padding goes to one cluster more, which nobody reads.
    shift, nowhere = torch.arange(number, device=device).unsqueeze(1) * most, number * most
    prices = torch.zeros(number, most, device=device)
    for turn in range(ROUNDS + 1):
        offsets = (-0.5 * centroids.square().sum(dim=2) - prices).masked_fill(absent, -torch.inf)
        scores = torch.baddbmm(offsets.unsqueeze(1), points, centroids.transpose(1, 2))
        if turn == ROUNDS:
            break
        chosen = (scores.argmax(dim=2) + shift).masked_fill_(~present, nowhere).flatten()
        _raise_prices(scores, chosen, prices, bound)
        means, counts = group_means(points.flatten(0, 1), chosen, nowhere + 1)
        used = (counts[:nowhere] > 0).view(number, most, 1)
        centroids = torch.where(used, means[:nowhere].view_as(centroids), centroids)
        prices *= KEPT_PRICE
    found = _within_bound(scores, present, bound)
    return [row[:size] for row, size in zip(found, sizes, strict=True)]


def _raise_prices(scores: Tensor, chosen: Tensor, prices: Tensor, bound: int) -> None:
    """Make every cluster that is too large as much dearer as sends its surplus to the next best cluster.

    Args:
        scores: fp32 (parts, rows, clusters), after the prices so far.
        chosen: int64 (parts * rows,), place of each row's cluster among those of all parts, the number of these for
            none; the surplus is changed.
        prices: fp32 (parts, clusters); changed.
        bound: Most rows of a cluster.
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
    # One sort, by cluster and then by loss.
    order = (own.double() + 0.5 * loss / loss.max().clamp(min=1e-30)).argsort()
    crowd = counts[crowded]
    starts, surplus = crowd.cumsum(0) - crowd, crowd - bound
    queue = torch.arange(len(inside), device=inside.device) - starts.repeat_interleave(crowd)
    leaving = order[queue < surplus.repeat_interleave(crowd)]
    chosen[inside[leaving]] = inside[leaving] // rows * clusters + other[leaving]
    prices.view(-1)[crowded[:-1]] += loss[order[starts + surplus - 1]]


def _within_bound(scores: Tensor, present: Tensor, bound: int) -> Tensor:
    """Give each row to the best cluster that has room; a cluster keeps the rows of the highest scores.

    Rows of equal scores are taken in order, so identical rows fill one cluster after the other.

    Args:
        scores: fp32 (parts, rows, clusters), -inf for clusters that a part has not.
        present: (parts, rows), False for padding.
        bound: Most rows of a cluster.

    Returns:
        int64 (parts, rows), 0 for padding.
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
