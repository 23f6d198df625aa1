from __future__ import annotations

import numpy
import pytest

from reports.analysis.layouts import principal_components, umap_layout


def test_components_are_those_of_scikit_learn() -> None:
    decomposition = pytest.importorskip("sklearn.decomposition")
    vectors = numpy.random.default_rng(0).normal(size=(200, 6)) * [5, 3, 1, 1, 1, 1]
    reference = decomposition.PCA(2).fit(vectors)
    plane, shares = principal_components(vectors)
    assert numpy.abs(plane) == pytest.approx(numpy.abs(reference.transform(vectors)), abs=1e-4)
    assert shares == pytest.approx(reference.explained_variance_ratio_)


def test_vectors_of_one_number_still_give_a_plane() -> None:
    plane, shares = principal_components(numpy.array([[1.0], [2.0], [4.0]]))
    assert plane.shape == (3, 2)
    assert shares == pytest.approx([1, 0])


@pytest.mark.slow
def test_umap_keeps_groups_of_directions_together() -> None:
    generator = numpy.random.default_rng(0)
    groups = numpy.repeat(numpy.arange(3), 20)
    lengths = generator.uniform(1, 9, size=(60, 1))
    plane = umap_layout(((numpy.eye(8)[groups] + 0.1 * generator.normal(size=(60, 8))) * lengths).astype("float32"))
    distances = numpy.linalg.norm(plane[:, None] - plane[None], axis=2) + numpy.diag(numpy.full(60, numpy.inf))
    assert plane.shape == (60, 2)
    assert (groups[distances.argmin(axis=1)] == groups).all()
    assert umap_layout(numpy.eye(4, dtype="float32")).shape == (4, 2)
