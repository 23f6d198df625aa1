"""Reclustering on several processes equals reclustering on one."""

from datetime import timedelta
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.multiprocessing.spawn import spawn

from modules import subclusters
from modules.class_distances import class_distances, class_temperatures, distance_weights, subcluster_distances
from modules.clustering import bounded_kmeans
from modules.clustering.spherical_kmeans import Backend
from modules.subclusters import Method, subcluster, subclusters_per_class

# Two classes are fewer than three processes; one class is empty, one has a single sample.
SIZES = ([700, 90, 0, 40, 1, 260, 35], [60, 20])
CASES: tuple[tuple[Method, Backend], ...] = (("bounded", "auto"), ("kmeans", "faiss"), ("kmeans", "torch"))


def everything_found(sizes: list[int], method: Method, backend: Backend, shared: bool) -> list[Tensor]:
    """Results of reclustering from random rows and from previous sub-clusters."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))
    labels = labels[torch.randperm(len(labels), generator=generator)]
    embeddings = torch.randn(len(labels), 16, generator=generator)
    moved = embeddings + 0.1 * torch.randn(embeddings.shape, generator=generator)
    first = subcluster(embeddings, labels, len(sizes), 4, method, 0, None, backend, shared)
    again = subcluster(moved, labels, len(sizes), 4, method, 0, first.ids, backend, shared)
    per_class = subclusters_per_class(again.class_of, len(sizes))
    d_prime = subcluster_distances(again.centroids, again.class_of, len(sizes))
    weights = distance_weights(class_distances(moved, labels, len(sizes)), d_prime)
    temperatures = class_temperatures(moved, labels, per_class)
    return [first.ids, first.centroids, again.ids, again.class_of, again.centroids, temperatures, weights]


def compare(rank: int, folder: str, processes: int) -> None:
    """One of several processes, whose shared result must equal its own."""
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        "gloo", f"file://{folder}/{processes}", rank=rank, world_size=processes, timeout=timedelta(seconds=120)
    )
    for rows_of_a_group in (1, 200, 2**16):
        subclusters.MAX_ROWS_PER_GROUP = rows_of_a_group
        bounded_kmeans.MAX_BATCH_ELEMENTS = 2**13
        for sizes in SIZES:
            for method, backend in CASES:
                alone = everything_found(sizes, method, backend, shared=False)
                together = everything_found(sizes, method, backend, shared=True)
                assert all(torch.equal(one, other) for one, other in zip(alone, together, strict=True))
    torch.distributed.destroy_process_group()


@pytest.mark.parametrize("processes", [1, 2, pytest.param(3, marks=pytest.mark.slow)])
def test_the_result_does_not_depend_on_the_number_of_processes(tmp_path: Path, processes: int) -> None:
    spawn(compare, args=(str(tmp_path), processes), nprocs=processes)  # type: ignore[no-untyped-call]


def test_groups_are_distributed_by_rows() -> None:
    sizes = [9, 0, 4, 3, 3]
    groups = subclusters._groups_of_classes(sizes, 7)
    assert groups == [[0], [2, 3], [4]]
    assert subclusters._share_out(groups, sizes, 2) == [[[0]], [[2, 3], [4]]]
    assert subclusters._share_out(groups, sizes, 4) == [[[0]], [[2, 3]], [[4]], []]
    assert subclusters._groups_of_classes(sizes, 0) == [[0], [2], [3], [4]]
