"""The signals of predictions of several labels, and how many of them are right."""

from __future__ import annotations

import numpy
import pytest

from modules.evaluation.applicability import signals
from modules.multilabel.label_evidence import label_signals, right_shares
from modules.neighbors.training_samples import Neighbors

NEAR = Neighbors(
    numpy.array([[[1, 0], [0, 1], [-1, 0]], [[1, 1], [0, 0], [0, -1]], [[0, 1], [1, 1], [1, 0]]], dtype=numpy.int8),
    numpy.array([[0.9, 0.6, 0.5], [0.8, 0.4, 0.2], [0.7, 0.6, 0.1]]),
    numpy.array([[0.7, 0.8, 0.1], [0.5, 0.3, 0.2], [0.4, 0.2, 0.9]]),
)


def log_odds(*shares: float) -> float:
    """Mean log odds."""
    return float(numpy.mean([numpy.log(share / (1 - share)) for share in shares]))


def test_the_signals_are_the_means_of_those_of_the_predicted_labels() -> None:
    calibrated = numpy.array([[0.8, 0.6], [0.1, 0.3], [0.2, 0.9]])
    predicted = numpy.array([[1, 1], [0, 0], [0, 1]])
    found = label_signals(calibrated, predicted, NEAR, by_tanimoto=True)
    # Both labels, none of them, and the second one: of the second sample, the second neighbor has none.
    expected = [[log_odds(0.8, 0.6), (0.9 + 0.6) / 2, 0.7], [log_odds(0.7), 0.4, 0.5], [log_odds(0.9), 0.7, 0.4]]
    assert found.values == pytest.approx(numpy.array(expected))
    assert found.similarity == pytest.approx(numpy.array([[0.9, 0.7], [0.8, 0.5], [0.7, 0.4]]))
    by_cosine = label_signals(calibrated, predicted, NEAR, by_tanimoto=False)
    assert by_cosine.values[:, 1] == pytest.approx([(0.7 + 0.8) / 2, 0.3, 0.4])


def test_labels_that_exclude_each_other_have_the_signals_of_classes() -> None:
    generator = numpy.random.default_rng(0)
    codes, labels = generator.integers(0, 4, (30, 6)), generator.integers(0, 4, 30)
    similarity = -numpy.sort(-generator.random((2, 30, 6)), axis=2)
    shares = generator.dirichlet(numpy.ones(4), 30)
    several = Neighbors(numpy.eye(4, dtype=numpy.int8)[codes], *similarity)
    found = label_signals(shares, numpy.eye(4, dtype=int)[labels], several, by_tanimoto=True)
    expected = signals(shares[numpy.arange(30), labels], labels, Neighbors(codes, *similarity), by_tanimoto=True)
    numpy.testing.assert_allclose(found.values, expected.values)
    numpy.testing.assert_allclose(found.similarity, expected.similarity)


def test_the_share_of_right_labels() -> None:
    predicted = numpy.array([[1, 1, 0], [1, 1, 0], [1, 0, 0], [0, 0, 0], [0, 0, 0], [0, 1, 1]])
    labels = numpy.array([[1, 0, 1], [1, -1, 0], [-1, 1, 0], [0, -1, 0], [0, 0, 1], [1, 0, 0]])
    # The known half of the second is right, and of the third nothing is known.
    every = numpy.ones(3, dtype=bool)
    assert right_shares(predicted, labels, every) == pytest.approx([0.5, 1, numpy.nan, 1, 0, 0], nan_ok=True)
    # The only label of the fifth has no training samples, so that nothing could be right.
    seen = numpy.array([True, True, False])
    assert right_shares(predicted, labels, seen) == pytest.approx([0.5, 1, numpy.nan, 1, numpy.nan, 0], nan_ok=True)
