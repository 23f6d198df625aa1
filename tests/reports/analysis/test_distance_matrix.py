from __future__ import annotations

import numpy
import pytest

from modules.evaluation.class_means_file import ClassMeans
from reports.analysis.distance_matrix import (
    RECLUSTERS_SHOWN,
    compare_classes,
    distances_between,
    nearest_rivals,
    order_by_similarity,
    similar_classes,
)

POINTS = numpy.array([[0.0, 0.0], [3.0, 4.0], [0.0, 1.0], [9.0, 9.0]], dtype=numpy.float32)


def means(epoch: int = 0, missing: int | None = None) -> ClassMeans:
    samples = numpy.ones(4, dtype=int)
    if missing is not None:
        samples[missing] = 0
    return ClassMeans(epoch, POINTS, samples)


def test_distances_by_hand() -> None:
    matrix = distances_between(means())
    assert matrix[0, 1] == pytest.approx(5)
    assert matrix[1, 0] == pytest.approx(5)
    assert numpy.isnan(matrix.diagonal()).all()


def test_a_class_without_samples_is_far_from_nothing() -> None:
    rivals, nearest = nearest_rivals(distances_between(means(missing=2)))
    assert rivals.tolist()[:3] == [1, 0, -1]
    assert numpy.isnan(nearest[2])


def test_rivals_are_those_of_the_method() -> None:
    torch = pytest.importorskip("torch")
    from modules.class_distances import class_distances

    generator = numpy.random.default_rng(0)
    embeddings, labels = generator.normal(size=(60, 5)), numpy.arange(60) % 6
    unit = embeddings / numpy.linalg.norm(embeddings, axis=1, keepdims=True)
    points = numpy.stack([unit[labels == code].mean(axis=0) for code in range(6)])
    _, nearest = nearest_rivals(distances_between(ClassMeans(0, points, numpy.full(6, 10))))
    expected = class_distances(torch.tensor(embeddings), torch.tensor(labels), 6)
    assert nearest == pytest.approx(expected.numpy(), abs=1e-5)


def test_shown_are_the_classes_nearest_to_a_rival() -> None:
    found = compare_classes([means(5), means(10)], most=2)
    assert sorted(found.shown.tolist()) == [0, 2]
    assert found.epochs == (5, 10)
    assert found.matrices[-1].shape == (2, 2)
    assert len(found.nearest[-1]) == 4


def test_many_reclusters_are_thinned_from_first_to_last() -> None:
    found = compare_classes([means(epoch) for epoch in range(200)])
    assert len(found.epochs) == RECLUSTERS_SHOWN
    assert (found.epochs[0], found.epochs[-1], found.reclusters) == (0, 199, 200)


def test_like_classes_are_beside_each_other() -> None:
    order = order_by_similarity(distances_between(means())).tolist()
    assert abs(order.index(0) - order.index(2)) == 1


def test_the_order_has_every_class_once_and_those_without_samples_last() -> None:
    order = similar_classes(means(missing=2)).tolist()
    assert order[-1] == 2
    assert sorted(order) == [0, 1, 2, 3]
    # The second class is the nearest one of the first and of the fourth.
    assert order[1] == 1
