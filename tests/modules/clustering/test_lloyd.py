import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from modules.clustering import lloyd as module
from modules.clustering.lloyd import lloyd, nearest, random_rows, relabel_consecutively


def looped(rows: Tensor, centroids: Tensor, iterations: int, spherical: bool) -> Tensor:
    for _ in range(iterations):
        groups: dict[int, list[Tensor]] = {}
        for row in rows:
            distances = [float((row - centroid).square().sum()) for centroid in centroids]
            groups.setdefault(distances.index(min(distances)), []).append(row)
        moved = centroids.clone()
        for number, group in groups.items():
            mean = torch.stack(group).mean(dim=0)
            moved[number] = mean / mean.norm() if spherical else mean
        centroids = moved
    return centroids


@settings(max_examples=25, deadline=None)
@given(
    size=st.integers(1, 15),
    clusters=st.integers(1, 6),
    iterations=st.integers(0, 4),
    spherical=st.booleans(),
    seed=st.integers(0, 1_000),
)
def test_equals_a_loop(size: int, clusters: int, iterations: int, spherical: bool, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    rows, start = torch.randn(size, 3, generator=generator), torch.randn(clusters, 3, generator=generator)
    found = lloyd(rows, start, iterations, spherical)
    torch.testing.assert_close(found, looped(rows, start, iterations, spherical), rtol=1e-4, atol=1e-4)


def test_nearest_does_not_depend_on_the_block(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(0)
    rows, centroids = torch.randn(50, 4, generator=generator), torch.randn(7, 4, generator=generator)
    expected = torch.cdist(rows, centroids).argmin(dim=1)
    for block in (1, 7, 50, 1_000):
        monkeypatch.setattr(module, "BLOCK_ROWS", block)
        assert torch.equal(nearest(rows, centroids), expected)


def test_random_rows_are_distinct_and_all_if_there_are_fewer() -> None:
    rows = torch.arange(20.0).unsqueeze(1)
    some, everything = random_rows(rows, 8, seed=1), random_rows(rows, 99, seed=1)
    assert len(set(some.flatten().tolist())) == 8
    assert sorted(everything.flatten().tolist()) == rows.flatten().tolist()
    assert not torch.equal(everything, random_rows(rows, 99, seed=2))


def test_relabeling_skips_empty_clusters() -> None:
    assert relabel_consecutively(torch.tensor([5, 2, 2, 9])).tolist() == [1, 0, 0, 2]
    assert relabel_consecutively(torch.tensor([1, 0])).tolist() == [1, 0]
