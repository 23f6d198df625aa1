"""What a model and a baseline reach on each label and on average, with intervals."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy
from numpy.typing import NDArray

from modules.evaluation.group_names import GROUPS, Group
from reports.analysis.intervals import Estimate, wilson
from reports.analysis.label_intervals import (
    LabelPredictions,
    difference,
    draw_resamples,
    estimate,
    label_estimates,
    mean_scores,
    number_of_resamples,
    weighted_scores,
)
from reports.analysis.same_samples import different
from reports.analysis.shares import share


@dataclass(frozen=True)
class LabelResults:
    """Results of L labels on n test samples; NaN for labels that no training sample has.

    Attributes:
        positive: int64 (L,), test samples that are known to have each label.
        negative: int64 (L,), test samples that are known not to have it.
        average_precision: Average precision of each label, with its interval.
        auroc: float64 (L,), area under the ROC curve.
        precision: float64 (L,), share of the samples predicted to have a label, of those that are known, that have it;
            0 if it is never predicted, NaN if no sample has it.
        recall: float64 (L,), share of the samples with a label that are predicted to have it.
        recall_low: float64 (L,), lower bound of Wilson's 95 % interval of the recall, whose trials are the different
            samples with the label.
        recall_high: float64 (L,), upper bound.
        f1: float64 (L,), F1.
        means: Means over labels and the micro F1, by name, with intervals.
    """

    positive: NDArray[Any]
    negative: NDArray[Any]
    average_precision: Sequence[Estimate]
    auroc: NDArray[Any]
    precision: NDArray[Any]
    recall: NDArray[Any]
    recall_low: NDArray[Any]
    recall_high: NDArray[Any]
    f1: NDArray[Any]
    means: Mapping[str, Estimate]

    @property
    def shares(self) -> NDArray[Any]:
        """Share of the known test samples with each label, the average precision of guessing; NaN without any; (L,)."""
        return share(self.positive, self.positive + self.negative)


@dataclass(frozen=True)
class LabelComparison:
    """A model against a baseline, on the same test samples.

    Attributes:
        model: Results of the model.
        baseline: Results of the baseline.
        differences: Means of the model minus those of the baseline, by name, with intervals.
        resamples: Number of resamples that the intervals rest on.
    """

    model: LabelResults
    baseline: LabelResults
    differences: Mapping[str, Estimate]
    resamples: int


def compare_labels(
    labels: NDArray[Any],
    ours: LabelPredictions,
    theirs: LabelPredictions,
    samples: NDArray[Any],
    training: NDArray[Any],
    groups: Sequence[Group],
    resamples: int | None = None,
) -> LabelComparison:
    """Hold a model against a baseline, by a paired bootstrap of the test samples.

    Args:
        labels: 1 the sample has the label, 0 it does not, -1 not known, integers (n, L).
        ours: What the model says.
        theirs: What the baseline says.
        samples: int (n,), equal for rows of the same sample, which are drawn together.
        training: int (L,), training samples with each label; labels that none has are left out of all means.
        groups: Group of each label.
        resamples: Number of resamples; `number_of_resamples` if None.
    """
    if resamples is None:
        resamples = number_of_resamples(*labels.shape)
    weights = draw_resamples(samples, resamples)
    counted = numpy.where(training > 0, labels, -1)
    scored = [weighted_scores(counted, one, weights) for one in (ours, theirs)]
    means = [mean_scores(of_label, groups) for of_label in scored]
    sizes = mean_sizes(means[0], counted, samples, groups)
    results = [
        _results(labels, counted, samples, one, of_label, {name: estimate(own[name], sizes[name][0]) for name in own})
        for one, of_label, own in zip((ours, theirs), scored, means, strict=True)
    ]
    differences = {name: difference(own, means[1][name], *sizes[name]) for name, own in means[0].items()}
    return LabelComparison(results[0], results[1], differences, resamples)


def mean_sizes(
    names: Iterable[str], labels: NDArray[Any], samples: NDArray[Any], groups: Sequence[Group]
) -> dict[str, tuple[int, int]]:
    """How many different samples are known to have or not to have a label of a mean, and how many of them have one.

    Args:
        names: Names of means, as of `mean_scores`.
        labels: As of `compare_labels`, with -1 for labels that are in no mean.
        samples: As of `compare_labels`.
        groups: Group of each label.
    """
    found = {}
    for name in names:
        own = labels[:, _members(name, groups)]
        known, has = (different(samples[rows.any(axis=1)]) for rows in (own >= 0, own == 1))
        found[name] = (known, has)
    return found


def _members(name: str, groups: Sequence[Group]) -> NDArray[Any]:
    """Labels that a mean is over, bool (L,)."""
    group = name.removesuffix("_average_precision")
    return numpy.array([group not in GROUPS or one == group for one in groups])


def _results(
    labels: NDArray[Any],
    counted: NDArray[Any],
    samples: NDArray[Any],
    found: LabelPredictions,
    of_label: Mapping[str, NDArray[Any]],
    means: Mapping[str, Estimate],
) -> LabelResults:
    """Results of labels; those that `counted` leaves out have numbers of samples, but no scores."""
    has, has_not = counted == 1, counted == 0
    hits, alarms = (found.predicted & has).sum(axis=0), (found.predicted & has_not).sum(axis=0)
    positive = has.sum(axis=0)
    trials = numpy.array([different(samples[own]) for own in has.T], dtype=numpy.int64)
    low, high = wilson(hits / numpy.maximum(positive, 1) * trials, trials)
    return LabelResults(
        positive=(labels == 1).sum(axis=0),
        negative=(labels == 0).sum(axis=0),
        average_precision=label_estimates(of_label["average_precision"], trials),
        auroc=of_label["auroc"][:, 0],
        precision=share(hits, hits + alarms, positive),
        recall=share(hits, positive),
        recall_low=low,
        recall_high=high,
        f1=of_label["f1"][:, 0],
        means=means,
    )
