import dataclasses
import math
from typing import get_args

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from modules.clustering.bounded_kmeans import clusters_within_bound
from modules.clustering.spherical_kmeans import Backend
from modules.subclusters import (
    Method,
    Subclusters,
    nearest_subclusters,
    share_moved,
    subcluster,
    subclusters_per_class,
)

METHODS = get_args(Method)


def blobs(counts: list[int], seed: int = 0, dimensions: int = 6) -> tuple[Tensor, Tensor]:
    """Draw classes of the given sizes, each from several directions, in shuffled order."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    labels = labels[torch.randperm(len(labels), generator=generator)]
    directions = torch.randn(len(counts), 3, dimensions, generator=generator)
    chosen = torch.randint(3, (len(labels),), generator=generator)
    noise = torch.randn(len(labels), dimensions, generator=generator)
    return directions[labels, chosen] + 0.3 * noise, labels


def check_consistency(result: Subclusters, embeddings: Tensor, labels: Tensor) -> None:
    count = len(result.class_of)
    assert result.ids.dtype == result.class_of.dtype == torch.int64
    assert sorted(set(result.ids.tolist())) == list(range(count))
    assert torch.equal(result.class_of[result.ids], labels)
    assert torch.equal(result.class_of, result.class_of.sort().values)
    unit = torch.nn.functional.normalize(embeddings.float(), dim=1)
    means = torch.stack([unit[result.ids == s].mean(0) for s in range(count)])
    torch.testing.assert_close(result.centroids, means, atol=1e-5, rtol=1e-4)


@settings(max_examples=25, deadline=None)
@given(
    counts=st.lists(st.integers(0, 60), min_size=1, max_size=4).filter(any),
    min_size=st.integers(1, 20),
    method=st.sampled_from(METHODS),
    seed=st.integers(0, 100),
)
def test_every_result_is_consistent_and_within_the_size_bound(
    counts: list[int], min_size: int, method: Method, seed: int
) -> None:
    embeddings, labels = blobs(counts, seed)
    result = subcluster(embeddings, labels, len(counts), min_size, method, seed)
    check_consistency(result, embeddings, labels)
    bound = max(min(count for count in counts if count > 0), min_size)
    found = subclusters_per_class(result.class_of, len(counts)).tolist()
    for count, clusters in zip(counts, found, strict=True):
        if count == 0:
            assert clusters == 0
        elif method == "kmeans":
            assert 1 <= clusters <= max(1, count // bound)
        else:
            assert math.ceil(count / bound) <= clusters <= clusters_within_bound(count, bound)
    if method == "bounded":
        assert torch.bincount(result.ids).max() <= bound


def test_kmeans_finds_the_directions_of_a_class() -> None:
    directions = torch.eye(4)
    labels = torch.cat([torch.zeros(40, dtype=torch.int64), torch.ones(10, dtype=torch.int64)])
    embeddings = directions[torch.cat([torch.arange(40) % 4, torch.zeros(10, dtype=torch.int64)])]
    embeddings = embeddings + 0.01 * torch.randn(50, 4, generator=torch.Generator().manual_seed(0))
    result = subcluster(embeddings, labels, num_classes=2)
    assert subclusters_per_class(result.class_of, 2).tolist() == [4, 1]
    for direction in range(4):
        assert len(set(result.ids[direction:40:4].tolist())) == 1


def test_the_smallest_class_with_samples_sets_the_size_bound() -> None:
    embeddings, labels = blobs([60, 0, 20])
    result = subcluster(embeddings, labels, num_classes=3)
    assert subclusters_per_class(result.class_of, 3).tolist() == [3, 0, 1]
    result = subcluster(embeddings, labels, num_classes=3, min_size=30)
    assert subclusters_per_class(result.class_of, 3).tolist() == [2, 0, 1]


@pytest.mark.parametrize("method", METHODS)
def test_a_class_within_the_bound_is_one_subcluster(method: Method) -> None:
    embeddings, labels = blobs([10, 7, 3])
    result = subcluster(embeddings, labels, 3, method=method)
    assert torch.equal(result.ids, labels)


@pytest.mark.parametrize("method", METHODS)
def test_a_single_class_is_one_subcluster(method: Method) -> None:
    embeddings, labels = blobs([35])
    result = subcluster(embeddings, labels, num_classes=1, method=method)
    assert torch.equal(result.ids, torch.zeros(35, dtype=torch.int64))


@pytest.mark.parametrize("method", METHODS)
def test_identical_embeddings_leave_no_gaps_and_stay_within_the_bound(method: Method) -> None:
    embeddings = torch.ones(95, 3)
    labels = torch.cat([torch.zeros(85, dtype=torch.int64), torch.ones(10, dtype=torch.int64)])
    result = subcluster(embeddings, labels, num_classes=2, method=method)
    check_consistency(result, embeddings, labels)
    if method == "bounded":
        assert torch.bincount(result.ids).max() <= 10
        assert len(result.class_of) == 10
    else:
        assert subclusters_per_class(result.class_of, 2)[0] <= 8


@pytest.mark.parametrize("method", METHODS)
def test_zero_embeddings_are_accepted(method: Method) -> None:
    embeddings, labels = blobs([40, 10])
    embeddings[:20] = 0
    check_consistency(subcluster(embeddings, labels, 2, method=method), embeddings, labels)


@pytest.mark.parametrize("method", METHODS)
def test_equal_seeds_give_equal_results_and_length_does_not_matter(method: Method) -> None:
    embeddings, labels = blobs([200, 12], seed=3)
    first = subcluster(embeddings, labels, 2, method=method, seed=5)
    again = subcluster(embeddings * 4, labels, 2, method=method, seed=5)
    other = subcluster(embeddings, labels, 2, method=method, seed=6)
    assert torch.equal(first.ids, again.ids)
    assert torch.equal(first.centroids, again.centroids)
    assert not torch.equal(first.ids, other.ids)


@pytest.mark.parametrize("identical", [False, True])
def test_a_large_class_is_divided_into_few_bounded_subclusters(identical: bool) -> None:
    embeddings, labels = blobs([4000, 10], dimensions=16)
    embeddings = torch.ones_like(embeddings) if identical else embeddings
    result = subcluster(embeddings, labels, 2, method="bounded")
    check_consistency(result, embeddings, labels)
    assert torch.bincount(result.ids).max() <= 10
    assert 400 <= subclusters_per_class(result.class_of, 2)[0] <= 1.15 * 400


def test_bounded_subclusters_are_tighter_than_random_ones_of_equal_size() -> None:
    embeddings, labels = blobs([600, 20])
    result = subcluster(embeddings, labels, 2, method="bounded")
    unit = torch.nn.functional.normalize(embeddings, dim=1)
    shuffled = result.ids.clone()
    members = (labels == 0).nonzero().squeeze(1)
    order = torch.randperm(600, generator=torch.Generator().manual_seed(0))
    shuffled[members] = result.ids[members[order]]
    sums = torch.zeros_like(result.centroids).index_add_(0, shuffled, unit)
    random_centroids = sums / torch.bincount(shuffled).unsqueeze(1)
    found = (unit - result.centroids[result.ids]).square().sum()
    random = (unit - random_centroids[shuffled]).square().sum()
    assert found < 0.3 * random


@pytest.mark.parametrize("method", METHODS)
def test_classes_are_clustered_independently(method: Method) -> None:
    embeddings, labels = blobs([90, 10, 45], seed=4)
    result = subcluster(embeddings, labels, 3, method=method)
    for label in (0, 2):
        inside = labels == label
        alone = subcluster(embeddings[inside], torch.zeros_like(labels[inside]), 1, min_size=10, method=method)
        # Alone, the class would set the size bound itself.
        small = torch.cat([embeddings[inside], torch.ones(10, embeddings.shape[1])])
        pair = subcluster(small, torch.cat([labels[inside] * 0, torch.ones(10, dtype=torch.int64)]), 2, method=method)
        assert len(alone.class_of) == 1
        first = int(result.ids[inside].min())
        assert torch.equal(pair.ids[:-10], result.ids[inside] - first)


@pytest.mark.parametrize("backend", ["faiss", "torch"])
@pytest.mark.parametrize("method", METHODS)
def test_starting_from_the_last_subclusters_keeps_them_and_their_numbers(method: Method, backend: Backend) -> None:
    embeddings, labels = blobs([300, 20], seed=7)
    first = subcluster(embeddings, labels, 2, method=method, backend=backend)
    moved = embeddings + 0.02 * torch.randn(embeddings.shape, generator=torch.Generator().manual_seed(1))
    again = subcluster(moved, labels, 2, method=method, previous=first.ids, backend=backend)
    afresh = subcluster(moved, labels, 2, method=method, seed=9, backend=backend)
    check_consistency(again, moved, labels)
    kept = (again.ids == first.ids)[labels == 0].float().mean()
    assert kept > 0.6
    assert share_moved(first.ids, again.ids, again.class_of) <= 1 - kept + 1e-6
    assert share_moved(first.ids, again.ids, again.class_of) < share_moved(first.ids, afresh.ids, afresh.class_of)


def test_torch_and_faiss_find_equally_tight_clusters() -> None:
    embeddings, labels = blobs([400, 20], seed=8)
    unit = torch.nn.functional.normalize(embeddings, dim=1)
    spreads = []
    for backend in get_args(Backend):
        result = subcluster(embeddings, labels, 2, backend=backend)
        spreads.append(float((unit - result.centroids[result.ids]).square().sum()))
    assert max(spreads) < 1.05 * min(spreads)


def test_share_moved_by_hand() -> None:
    class_of = torch.tensor([0, 0, 1])
    before = torch.tensor([0, 0, 0, 0, 1, 1, 2, 2])
    assert share_moved(before, before, class_of) == 0
    assert share_moved(before, torch.tensor([1, 1, 1, 1, 0, 0, 2, 2]), class_of) == 0
    assert share_moved(before, torch.tensor([0, 0, 0, 1, 1, 0, 2, 2]), class_of) == pytest.approx(2 / 6)
    assert share_moved(torch.tensor([0, 0]), torch.tensor([0, 0]), torch.tensor([0])) == 0


def test_nearest_subclusters_equal_a_loop() -> None:
    generator = torch.Generator().manual_seed(0)
    embeddings, centroids = torch.randn(40, 5, generator=generator), torch.randn(9, 5, generator=generator)
    labels, class_of = torch.arange(40) % 4, torch.tensor([0, 0, 0, 1, 1, 2, 2, 2, 2])
    found = nearest_subclusters(embeddings, labels, centroids, class_of).tolist()
    for row, label, subcluster_id in zip(embeddings, labels.tolist(), found, strict=True):
        own = [s for s in range(9) if class_of[s] == label]
        unit = row / row.norm()
        assert subcluster_id == (min(own, key=lambda s: float((unit - centroids[s]).norm())) if own else 9 + label)


def test_low_precision_embeddings_and_graphs_are_accepted() -> None:
    embeddings, labels = blobs([40, 10])
    result = subcluster(embeddings.bfloat16().requires_grad_(), labels, 2)
    assert result.centroids.dtype == torch.float32
    assert not result.centroids.requires_grad
    assert torch.equal(result.ids, subcluster(embeddings.bfloat16().float(), labels, 2).ids)


def test_the_result_cannot_be_reassigned() -> None:
    result = subcluster(*blobs([12, 10]), num_classes=2)
    with pytest.raises(dataclasses.FrozenInstanceError, match="cannot assign to field"):
        result.ids = result.class_of  # type: ignore[misc]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("method", METHODS)
def test_results_are_on_the_device_of_the_embeddings(method: Method) -> None:
    embeddings, labels = blobs([300, 20])
    result = subcluster(embeddings.cuda(), labels.cuda(), 2, method=method)
    assert result.ids.is_cuda
    assert result.class_of.is_cuda
    assert result.centroids.is_cuda
    on_cpu = Subclusters(result.ids.cpu(), result.class_of.cpu(), result.centroids.cpu())
    check_consistency(on_cpu, embeddings, labels)
    # A resumed run has the previous sub-clusters on the CPU.
    assert share_moved(on_cpu.ids, result.ids, result.class_of) == 0


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_embeddings_that_are_not_finite_name_their_classes(value: float) -> None:
    embeddings, labels = blobs([12, 10, 11])
    embeddings[labels == 1, 0] = value
    with pytest.raises(ValueError, match=r"embeddings: expected finite values.*10 rows of classes \[1\]"):
        subcluster(embeddings, labels, num_classes=3)


def test_invalid_arguments_are_named() -> None:
    embeddings, labels = blobs([12, 10])
    with pytest.raises(ValueError, match=r"expected values in 0\.\.0, got 0\.\.1"):
        subcluster(embeddings, labels, num_classes=1)
    with pytest.raises(ValueError, match=r"expected values in 0\.\.1, got -1\.\.0"):
        subcluster(embeddings, labels - 1, num_classes=2)
    with pytest.raises(ValueError, match="min_size: expected 1 or more, got 0"):
        subcluster(embeddings, labels, 2, min_size=0)
    with pytest.raises(ValueError, match="method: expected 'kmeans' or 'bounded', got 'flat'"):
        subcluster(embeddings, labels, 2, method="flat")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="backend: expected 'auto', 'faiss' or 'torch', got 'jax'"):
        subcluster(embeddings, labels, 2, backend="jax")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"previous: expected int64 of shape \(22,\), got torch.int64 \(21,\)"):
        subcluster(embeddings, labels, 2, previous=labels[1:])
    with pytest.raises(ValueError, match="embeddings: expected a non-empty"):
        subcluster(embeddings[:0], labels[:0], 2)


def test_subclusters_per_class_counts_and_checks() -> None:
    assert subclusters_per_class(torch.tensor([0, 0, 2]), 4).tolist() == [2, 0, 1, 0]
    assert subclusters_per_class(torch.tensor([], dtype=torch.int64), 2).tolist() == [0, 0]
    for class_of in ([0, 4], [-1, 0]):
        with pytest.raises(ValueError, match=r"class_of: expected values in 0\.\.3"):
            subclusters_per_class(torch.tensor(class_of), 4)
