from __future__ import annotations

import numpy
import pytest
from sklearn.metrics import average_precision_score, precision_recall_curve

from reports.analysis.label_curves import precision_recall


@pytest.mark.parametrize("ties", [5, 1_000])
def test_points_are_those_of_scikit_learn_with_a_positive(ties: int) -> None:
    generator = numpy.random.default_rng(0)
    has, scores = generator.random(60) < 0.3, generator.integers(0, ties, 60) / ties
    recall, precision = precision_recall(scores, has)
    expected, of_recall, _ = precision_recall_curve(has, scores)
    known = set(zip(of_recall.round(9), expected.round(9), strict=True))
    assert {*zip(recall.round(9), precision.round(9), strict=True)} <= known
    assert recall[-1] == 1
    steps = numpy.diff(recall, prepend=0)
    assert (steps > 0).all()
    assert (steps * precision).sum() == pytest.approx(average_precision_score(has, scores))


def test_many_points_are_thinned_out_and_none_are_made_up() -> None:
    scores = numpy.linspace(1, 0, 1_000)
    recall, precision = precision_recall(scores, numpy.ones(1_000, dtype=bool))
    assert len(recall) == 80
    assert (recall[0], recall[-1]) == (0.001, 1)
    assert (precision == 1).all()
    assert [len(one) for one in precision_recall(scores, scores > 1)] == [0, 0]
    assert [len(one) for one in precision_recall(scores[:0], scores[:0] > 1)] == [0, 0]
