import math
from itertools import combinations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from modules.clustering import bounded_kmeans as module
from modules.clustering.bounded_kmeans import bounded_kmeans, clusters_within_bound


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Limits so small that a few hundred rows need several parts and batches."""
    for name, value in (
        ("MAX_CLUSTERS_PER_PART", 4),
        ("TYPICAL_CLUSTERS_PER_PART", 3),
        ("MAX_PARTS", 4),
        ("SAMPLE_ROWS_PER_PART", 8),
        ("MAX_BATCH_ELEMENTS", 200),
        ("SMALL_BATCH_ELEMENTS", 100),
    ):
        monkeypatch.setattr(module, name, value)
    return


def draw(kind: str, size: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    if kind == "identical":
        return torch.ones(size, 4)
    if kind == "two points":
        return torch.eye(4)[torch.randint(2, (size,), generator=generator)]
    if kind == "one crowd":
        far = torch.rand(size, 1, generator=generator) < 0.05
        return torch.where(far, torch.randn(size, 4, generator=generator), torch.full((size, 4), 0.5))
    return torch.randn(size, 4, generator=generator)


def check(ids: Tensor, size: int, bound: int) -> None:
    counts = torch.bincount(ids)
    assert ids.shape == (size,)
    assert 1 <= counts.min() <= counts.max() <= bound
    assert math.ceil(size / bound) <= len(counts) <= clusters_within_bound(size, bound)
    assert clusters_within_bound(size, bound) <= max(math.ceil(size / bound), 1.12 * size / bound)


@pytest.mark.usefixtures("small_parts")
@settings(max_examples=60, deadline=None)
@given(
    kind=st.sampled_from(["identical", "two points", "one crowd", "spread"]),
    size=st.integers(1, 300),
    bound=st.integers(1, 40),
    seed=st.integers(0, 1_000),
)
def test_no_cluster_is_larger_than_the_bound_and_there_are_few(kind: str, size: int, bound: int, seed: int) -> None:
    rows = draw(kind, size, seed)
    ids = bounded_kmeans(rows, bound, seed)
    check(ids, size, bound)
    assert torch.equal(ids, bounded_kmeans(rows, bound, seed))
    moved = rows + 0.1 * draw("spread", size, seed + 1)
    check(bounded_kmeans(moved, bound, seed, ids), size, bound)


@pytest.mark.parametrize("kind", ["identical", "one crowd", "spread"])
def test_thousands_of_rows_stay_within_the_bound(kind: str) -> None:
    rows = draw(kind, 12_345, 0)
    ids = bounded_kmeans(rows, 10)
    check(ids, 12_345, 10)
    check(bounded_kmeans(rows, 10, 0, ids), 12_345, 10)


def test_finds_the_best_halves_of_a_few_rows() -> None:
    rows = torch.tensor([[0.0, 0], [0, 1], [1, 0], [5, 5], [6, 5], [5, 6], [3.2, 3.2], [3.1, 3.3]])

    def spread(halves: list[list[int]]) -> float:
        return sum(float((rows[half] - rows[half].mean(dim=0)).square().sum()) for half in halves)

    everyone = set(range(8))
    expected = min(spread([list(half), list(everyone - set(half))]) for half in combinations(range(8), 4))
    ids = bounded_kmeans(rows, 4)
    assert spread([(ids == number).nonzero().flatten().tolist() for number in (0, 1)]) == pytest.approx(expected)


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize("clusters", [3, 12])
def test_previous_clusters_are_kept_if_nothing_moved(clusters: int) -> None:
    centers = torch.randn(clusters, 16, generator=torch.Generator().manual_seed(0)) * 10
    truth = torch.randperm(clusters * 10, generator=torch.Generator().manual_seed(1)) % clusters
    rows = centers[truth] + 0.1 * torch.randn(clusters * 10, 16, generator=torch.Generator().manual_seed(2))
    assert torch.equal(bounded_kmeans(rows, 10, 0, truth), truth)


def test_starting_from_previous_clusters_does_not_widen_them() -> None:
    rows = draw("spread", 2_000, 3)

    def spread(ids: Tensor) -> float:
        means = torch.stack([rows[ids == number].mean(dim=0) for number in range(int(ids.max()) + 1)])
        return float((rows - means[ids]).square().sum())

    first = bounded_kmeans(rows, 40)
    assert spread(bounded_kmeans(rows, 40, 0, first)) < 1.01 * spread(first)


@settings(max_examples=30, deadline=None)
@given(rows=st.integers(1, 12), clusters=st.integers(1, 4), seed=st.integers(0, 1_000), levels=st.integers(1, 5))
def test_assignment_within_the_bound_equals_a_loop(rows: int, clusters: int, seed: int, levels: int) -> None:
    bound = -(-rows // clusters)
    # Few distinct values give ties.
    scores = torch.randint(levels, (rows, clusters), generator=torch.Generator().manual_seed(seed)).float()
    assigned, room = [-1] * rows, [bound] * clusters
    while -1 in assigned:
        wishes: dict[int, list[int]] = {}
        for row in range(rows):
            if assigned[row] < 0:
                open_ones = [cluster for cluster in range(clusters) if room[cluster]]
                wishes.setdefault(max(open_ones, key=lambda c: (scores[row, c], -c)), []).append(row)
        for cluster, queue in wishes.items():
            for row in sorted(queue, key=lambda row: (-scores[row, cluster], row))[: room[cluster]]:
                assigned[row] = cluster
                room[cluster] -= 1
    padded = torch.full((2, rows + 3, clusters), 9.0)
    padded[1, :rows] = scores
    present = torch.zeros(2, rows + 3, dtype=torch.bool)
    present[1, :rows] = True
    assert module._within_bound(padded, present, bound)[1, :rows].tolist() == assigned


def test_rows_that_lose_least_leave_clusters_that_are_too_large() -> None:
    # One part of eight rows and one of padding, three clusters; two parts so that places differ from numbers.
    scores = torch.zeros(2, 9, 3)
    scores[1, :, 0] = torch.tensor([1.0, 1.0, 1.0, 1.0, 0.0, 0.2, 0.1, 0.0, 9.0])
    scores[1, :, 1] = torch.tensor([0.6, 0.9, 0.0, 0.8, 1.0, 0.0, 0.0, 0.0, 0.0])
    scores[1, :, 2] = torch.tensor([0.0, 0.0, 0.7, 0.0, 0.0, 1.0, 1.0, 1.0, 0.0])
    chosen = torch.full((18,), 6)
    chosen[9:17] = 3 + scores[1, :8].argmax(dim=1)
    assert chosen[9:].tolist() == [3, 3, 3, 3, 4, 5, 5, 5, 6]
    prices = torch.tensor([[0.0, 0.0, 0.0], [0.5, 0.0, 0.0]])
    module._raise_prices(scores, chosen, prices, bound=2)
    # Cluster 0 loses rows 1 and 3 (0.1 and 0.2) to cluster 1, cluster 2 row 5 (0.8) to cluster 0.
    assert chosen[9:].tolist() == [3, 4, 3, 4, 4, 3, 5, 5, 6]
    expected = torch.tensor([[0.0, 0.0, 0.0], [0.7, 0.0, 0.8]])
    torch.testing.assert_close(prices, expected)
    module._raise_prices(scores, chosen, prices, bound=3)
    torch.testing.assert_close(prices, expected)


def test_each_part_gets_the_clusters_that_it_needs() -> None:
    assert module._share_out(10, [50, 30, 1, 0], bound=10) == [5, 3, 1, 0]
    assert module._share_out(20, [50, 30, 1, 0], bound=10) == [11, 7, 1, 0]


def test_previous_clusters_that_are_too_large_are_not_used() -> None:
    rows = draw("spread", 50, 0)
    before = torch.arange(50) // 13
    assert torch.equal(bounded_kmeans(rows, 12, 0, before), bounded_kmeans(rows, 12, 0))


@pytest.mark.usefixtures("small_parts")
@settings(max_examples=40, deadline=None)
@given(sizes=st.lists(st.integers(1, 90), min_size=1, max_size=6), bound=st.integers(1, 20), seed=st.integers(0, 1_000))
def test_clustering_classes_together_equals_clustering_each_alone(sizes: list[int], bound: int, seed: int) -> None:
    rows = draw("spread", sum(sizes), seed)
    found = bounded_kmeans(rows, bound, seed, class_sizes=sizes)
    again = bounded_kmeans(rows, bound, seed, found, sizes)
    first, first_again = 0, 0
    for inside, ids, new_ids in zip(*(torch.split(values, sizes) for values in (rows, found, again)), strict=True):
        alone = bounded_kmeans(inside, bound, seed)
        assert torch.equal(ids, alone + first)
        assert torch.equal(new_ids, bounded_kmeans(inside, bound, seed, alone) + first_again)
        first, first_again = int(ids.max()) + 1, int(new_ids.max()) + 1
