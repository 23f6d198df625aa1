"""The bootstrap of differences in F1 against scikit-learn in a loop."""

from __future__ import annotations

from dataclasses import astuple

import numpy
import pytest
from sklearn.metrics import f1_score

from reports.analysis.f1_differences import f1_differences

GENERATOR = numpy.random.default_rng(4)
CODES = numpy.repeat(numpy.arange(5), (60, 25, 10, 4, 1))
PREDICTED, OTHER = (
    numpy.where(GENERATOR.random(100) < share, CODES, GENERATOR.integers(0, 6, 100)) for share in (0.8, 0.5)
)


def f1(places: numpy.ndarray, predicted: numpy.ndarray) -> list[float]:
    """Macro F1 and balanced F1 of the classes with samples."""
    codes, own = CODES[places], predicted[places]
    present = numpy.unique(codes)
    weights = 1 / numpy.bincount(codes)[codes]
    given = {"labels": present, "average": "macro", "zero_division": 0}
    return [f1_score(codes, own, **given), f1_score(codes, own, sample_weight=weights, **given)]


def test_value_and_interval_are_those_of_a_loop() -> None:
    found = f1_differences(CODES, PREDICTED, OTHER, 6)
    every = numpy.arange(100)
    observed = numpy.subtract(f1(every, PREDICTED), f1(every, OTHER))
    assert [found["macro_f1"].value, found["balanced_f1"].value] == pytest.approx(observed.tolist())
    generator, values = numpy.random.default_rng(8), []
    for _ in range(400):
        drawn = generator.integers(0, 100, 100)
        values.append(numpy.subtract(f1(drawn, PREDICTED), f1(drawn, OTHER)))
    bounds = numpy.quantile(values, (0.025, 0.975), axis=0) + observed - numpy.mean(values, axis=0)
    for place, name in enumerate(("macro_f1", "balanced_f1")):
        assert (found[name].low, found[name].high) == pytest.approx(tuple(bounds[:, place]), abs=0.04)
        assert found[name].samples == 100


def test_equal_predictions_differ_by_nothing() -> None:
    for one in f1_differences(CODES, PREDICTED, PREDICTED, 6).values():
        assert (one.value, one.low, one.high) == (0, 0, 0)


def test_rows_that_are_repeated_say_nothing_new() -> None:
    once = f1_differences(CODES, PREDICTED, OTHER, 6)
    codes, predicted, other = (numpy.repeat(values, 10) for values in (CODES, PREDICTED, OTHER))
    found = f1_differences(codes, predicted, other, 6, samples=numpy.repeat(numpy.arange(100), 10))
    for name, one in once.items():
        assert astuple(found[name]) == pytest.approx(astuple(one), abs=1e-9)
