"""Scores of several labels on test samples and on resamples of them, which give their intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy
from numpy.typing import NDArray

from modules.evaluation.group_names import GROUPS, Group
from reports.analysis.intervals import FEWEST, RESAMPLES, UNKNOWN, Estimate, moved_bounds, with_doubt
from reports.analysis.shares import share

_MOST_WORK = 5_000_000_000
"""Largest number of rows times labels times resamples, which takes some ten seconds."""

_FEWEST_RESAMPLES = 200

MEANS = {
    "average_precision": "average_precision",
    "auroc": "auroc",
    "macro_f1": "f1",
    "balanced_accuracy": "balanced_accuracy",
}
"""Means over labels by name, and the score of a label that is averaged."""


@dataclass(frozen=True)
class LabelPredictions:
    """What a model says of L labels of n test samples.

    Attributes:
        scores: float (n, L), higher where a label is more likely.
        predicted: bool (n, L), which labels are predicted.
    """

    scores: NDArray[Any]
    predicted: NDArray[Any]


def number_of_resamples(rows: int, labels: int) -> int:
    """How many resamples are drawn in reasonable time: `RESAMPLES`, or fewer of a large test.

    Args:
        rows: Test rows n.
        labels: Labels L.
    """
    return int(min(RESAMPLES, max(_FEWEST_RESAMPLES, _MOST_WORK // max(rows * labels, 1))))


def draw_resamples(samples: NDArray[Any], resamples: int, seed: int = 0) -> NDArray[Any]:
    """How often each row is in each resample, all rows of a sample together.

    Args:
        samples: int (n,), equal for rows of the same sample.
        resamples: Number of resamples R.
        seed: Random seed.

    Returns:
        float32 (n, 1 + R); the first column is of ones, which stands for the test itself.
    """
    _, of_row = numpy.unique(samples, return_inverse=True)
    size = int(of_row.max(initial=-1)) + 1
    draws = numpy.random.default_rng(seed).multinomial(size, numpy.full(size, 1 / max(size, 1)), size=resamples)
    weights = numpy.ones((len(samples), resamples + 1), dtype=numpy.float32)
    weights[:, 1:] = draws.T[of_row.reshape(-1)]
    return weights


def weighted_scores(labels: NDArray[Any], found: LabelPredictions, weights: NDArray[Any]) -> dict[str, NDArray[Any]]:
    """Scores of each label where rows count more than once, or not.

    Args:
        labels: 1 the sample has the label, 0 it does not, -1 not known, integers (n, L).
        found: What the model says.
        weights: How often each row counts in each of W cases, float32 (n, W).

    Returns:
        float64 (L, W) each: `average_precision` and `auroc`, NaN where no sample has the label or all have it; `f1`,
        NaN where none has it; `balanced_accuracy`, the mean of recall and specificity, NaN where one does not exist.
        And float64 (W,) `micro_f1`, the F1 of all known entries together, NaN if none is positive.
    """
    known, has = labels >= 0, labels == 1
    chosen = found.predicted & known
    hits, predicted, positive, negative, refused = (
        (mask.T.astype(numpy.float32) @ weights).astype(numpy.float64)
        for mask in (chosen & has, chosen, has, known & ~has, known & ~has & ~chosen)
    )
    recall, specificity = share(hits, positive), share(refused, negative)
    ranking = numpy.full((2, labels.shape[1], weights.shape[1]), numpy.nan)
    for place in range(labels.shape[1]):
        rows = numpy.flatnonzero(known[:, place])
        ranking[:, place] = _ranking(found.scores[rows, place], has[rows, place], rows, weights)
    exists = (positive > 0) & (negative > 0)
    ranking[:, ~exists] = numpy.nan
    return {
        "average_precision": ranking[0],
        "auroc": ranking[1],
        "f1": share(2 * hits, predicted + positive, positive),
        "balanced_accuracy": (recall + specificity) / 2,
        "micro_f1": share(2 * hits.sum(axis=0), predicted.sum(axis=0) + positive.sum(axis=0), positive.sum(axis=0)),
    }


def _ranking(
    scores: NDArray[Any], has: NDArray[Any], rows: NDArray[Any], weights: NDArray[Any]
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Average precision and AUROC of one label, (W,) each, of rows whose value is known.

    Rows of equal scores are one step. Steps without positive rows are joined, since only those with some add to the
    sums, so that two sparse products count the rows of all steps in all cases.
    """
    from scipy.sparse import csr_matrix

    if not has.any():
        return numpy.full(weights.shape[1], numpy.nan), numpy.full(weights.shape[1], numpy.nan)
    order = numpy.argsort(-scores, kind="stable")
    scores, has, rows = scores[order], has[order], rows[order]
    ties = numpy.cumsum(numpy.append(True, scores[1:] != scores[:-1])) - 1
    with_positive = numpy.bincount(ties[has], minlength=ties[-1] + 1) > 0
    first = numpy.append(True, with_positive[1:] | with_positive[:-1])
    step = (numpy.cumsum(first) - 1)[ties]
    shape = (int(step[-1]) + 1, len(weights))
    ones = numpy.ones(len(rows), dtype=numpy.float32)
    all_of = csr_matrix((ones, (step, rows)), shape) @ weights
    positive = csr_matrix((ones[has], (step[has], rows[has])), shape) @ weights
    negative = all_of - positive
    above, false = positive.cumsum(axis=0, dtype=numpy.float64), negative.cumsum(axis=0, dtype=numpy.float64)
    total, others = above[-1], false[-1]
    precision = above / numpy.maximum(above + false, 1)
    below = others - false + negative / 2
    return share((positive * precision).sum(axis=0), total), share((positive * below).sum(axis=0), total * others)


def mean_scores(of_label: Mapping[str, NDArray[Any]], groups: Sequence[Group]) -> dict[str, NDArray[Any]]:
    """Means over the labels that have a score, (W,) each, as the metrics of a run; NaN where none has it.

    Args:
        of_label: From `weighted_scores`.
        groups: Group of each label.

    Returns:
        The `MEANS`, `micro_f1`, and `head_average_precision`, `middle_average_precision`, `tail_average_precision`.
    """
    found = {name: _mean(of_label[score]) for name, score in MEANS.items()}
    found["micro_f1"] = of_label["micro_f1"]
    for group in GROUPS:
        found[f"{group}_average_precision"] = _mean(of_label["average_precision"][numpy.array(groups) == group])
    return found


def _mean(values: NDArray[Any]) -> NDArray[Any]:
    known = ~numpy.isnan(values)
    return share(numpy.where(known, values, 0).sum(axis=0), known.sum(axis=0))


def estimate(values: NDArray[Any], samples: int) -> Estimate:
    """A score with the 95 % interval of its resamples.

    A sample that is drawn twice stands above itself, which raises average precision; so the interval is moved by the
    difference between the score and the mean of the resamples.

    Args:
        values: (1 + R,), the score of the test itself and of its resamples.
        samples: Number of test samples it is measured on.
    """
    low, high, shift = _bounds(values)
    return Estimate(float(values[0]), max(low + shift, 0.0), min(high + shift, 1.0), samples)


def difference(ours: NDArray[Any], theirs: NDArray[Any], samples: int, differing: int) -> Estimate:
    """How much higher the score of one model is than that of another, with its 95 % interval, moved as `estimate`.

    Args:
        ours: (1 + R,), as of `estimate`.
        theirs: (1 + R,), of the same resamples.
        samples: Number of test samples it is measured on.
        differing: Number of samples that can tell the models apart; with fewer than `FEWEST` the interval holds 0.
    """
    gain = ours - theirs
    low, high, shift = _bounds(gain)
    return with_doubt(Estimate(float(gain[0]), *moved_bounds(low, high, shift), samples), differing)


def _bounds(values: NDArray[Any]) -> tuple[float, float, float]:
    """Quantiles of the resamples, and what moves their mean to the score."""
    drawn = values[1:][~numpy.isnan(values[1:])]
    if numpy.isnan(values[0]) or not len(drawn):
        return numpy.nan, numpy.nan, numpy.nan
    low, high = numpy.quantile(drawn, (0.025, 0.975)).tolist()
    return low, high, float(values[0] - drawn.mean())


def label_estimates(values: NDArray[Any], positive: NDArray[Any]) -> list[Estimate]:
    """The score of each label with its interval, which is unknown with fewer than `FEWEST` samples that have the label.

    Args:
        values: (L, 1 + R), as of `estimate`.
        positive: int (L,), different test samples that have each label.
    """
    found = []
    for own, samples in zip(values, positive.tolist(), strict=True):
        one = UNKNOWN if numpy.isnan(own[0]) else estimate(own, samples)
        found.append(one if samples >= FEWEST else Estimate(one.value, numpy.nan, numpy.nan, samples))
    return found
