from __future__ import annotations

import math

import numpy
import pytest

from reports.analysis.confusions import Confusion, find_confusions, find_examples, shown_confusions

CODES = numpy.array([0, 0, 0, 0, 1, 2, 2])
PREDICTED = numpy.array([0, 1, 1, 2, 0, 2, 2])


def test_rare_classes_cost_more() -> None:
    found = find_confusions(CODES, PREDICTED, 4)
    assert [(one.true, one.predicted, one.samples) for one in found] == [(1, 0, 1), (0, 1, 2), (0, 2, 1)]
    assert found[0].cost == pytest.approx(1 / 3)
    assert found[1].share == pytest.approx(1 / 2)
    recall = [1 / 4, 0, 1]
    assert sum(one.cost for one in found) == pytest.approx(1 - sum(recall) / 3)


def test_no_mistake_no_confusion() -> None:
    assert find_confusions(CODES, CODES, 3) == []


def test_shown_are_the_costliest_and_the_most_frequent() -> None:
    found = [Confusion(0, 1, 1, 1.0, 0.5), Confusion(1, 2, 3, 0.3, 0.2), Confusion(2, 0, 90, 0.1, 0.1)]
    assert shown_confusions(found, most=1) == [found[0], found[2]]


def test_examples_are_the_most_confident_beside_the_nearest_rival() -> None:
    confusion = Confusion(0, 1, 2, 0.5, 0.1)
    confidence = numpy.array([0.9, 0.6, 0.8, 0.9, 0.9, 0.9, 0.9])
    embeddings = numpy.tile(numpy.array([1.0, 0.0]), (7, 1))
    training = numpy.array([1, 1, 0]), numpy.array([[0.0, 1.0], [0.6, 0.8], [1.0, 0.0]])
    first, second = find_examples(confusion, (CODES, PREDICTED, confidence, embeddings), training)
    assert (first.test, second.test) == (2, 1)
    assert first.training == 1
    assert first.similarity == pytest.approx(0.6)


def test_an_example_without_rivals_has_none() -> None:
    test = CODES, PREDICTED, numpy.ones(7), numpy.ones((7, 2))
    (example,) = find_examples(Confusion(1, 0, 1, 1.0, 0.3), test, (numpy.array([2]), numpy.ones((1, 2))))
    assert example.training is None
    assert math.isnan(example.similarity)
