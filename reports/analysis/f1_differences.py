"""Paired bootstrap of differences in F1."""

from __future__ import annotations

from typing import Any

import numpy
from numpy.typing import NDArray

from reports.analysis.intervals import RESAMPLES, Estimate, moved_bounds, with_doubt
from reports.analysis.same_samples import different, same_numbers

_RESAMPLES_AT_ONCE = 50


def f1_differences(
    codes: NDArray[Any],
    predicted: NDArray[Any],
    other: NDArray[Any],
    num_classes: int,
    seed: int = 0,
    samples: NDArray[Any] | None = None,
) -> dict[str, Estimate]:
    """How much higher the F1 of one model is than that of another on the same samples.

    95 % percentile bootstrap intervals (Efron, 1979) of resamples of all samples, the same for both models. A class
    without resampled samples does not count in that resample. The interval is moved to the observed difference,
    and holds 0 if the models differ on fewer than `FEWEST` samples.

    Args:
        codes: int (n,), class codes of one row or more.
        predicted: int (n,), class codes that the first model predicts.
        other: int (n,), class codes that the second model predicts.
        num_classes: Number of classes C.
        seed: Random seed.
        samples: int (n,), equal for rows of the same sample, which are drawn together; each row is one if None.

    Returns:
        Differences of `macro_f1` and `balanced_f1`, see `TailMetrics`.
    """
    generator, numbers = numpy.random.default_rng(seed), same_numbers(samples, len(codes))
    size = int(numbers.max()) + 1
    observed = _gains(numpy.ones((1, len(codes))), codes, predicted, other, num_classes)[:, 0]
    drawn = [
        _gains(
            generator.multinomial(size, numpy.full(size, 1 / size), count)[:, numbers],
            *(codes, predicted, other, num_classes),
        )
        for count in numpy.diff(numpy.arange(0, RESAMPLES + 1, _RESAMPLES_AT_ONCE)).tolist()
    ]
    resampled = numpy.concatenate(drawn, axis=1)
    lows, highs = numpy.quantile(resampled, (0.025, 0.975), axis=1).tolist()
    differing = different(numbers[predicted != other])
    shifts = (observed - resampled.mean(axis=1)).tolist()
    return {
        name: with_doubt(Estimate(value, *moved_bounds(low, high, shift), size), differing)
        for name, value, low, high, shift in zip(
            ("macro_f1", "balanced_f1"), observed.tolist(), lows, highs, shifts, strict=True
        )
    }


def _gains(
    times: NDArray[Any], codes: NDArray[Any], predicted: NDArray[Any], other: NDArray[Any], num_classes: int
) -> NDArray[Any]:
    """Differences of macro F1 and of balanced F1, (2, R), where each sample counts `times`, (R, n)."""
    gains: NDArray[Any] = _f1(times, codes, predicted, num_classes) - _f1(times, codes, other, num_classes)
    return gains


def _f1(times: NDArray[Any], codes: NDArray[Any], predicted: NDArray[Any], num_classes: int) -> NDArray[Any]:
    from scipy.sparse import csr_matrix

    places, shape = numpy.arange(len(codes)), (len(codes), num_classes)
    is_true, is_predicted = (csr_matrix((numpy.ones(len(codes)), (places, of)), shape) for of in (codes, predicted))
    support = times @ is_true
    present = support > 0
    means = []
    for weights in (times, times / numpy.maximum(support, 1)[:, codes]):
        own, taken = weights @ is_true, weights @ is_predicted
        hits = (weights * (codes == predicted)) @ is_true
        scores = 2 * hits / numpy.where(present, own + taken, 1)
        means.append((scores * present).sum(axis=1) / present.sum(axis=1))
    return numpy.stack(means)
