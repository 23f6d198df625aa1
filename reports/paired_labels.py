"""What several runs say of several labels of the same test samples, and how much the runs differ beyond noise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import permutations
from typing import Any

import numpy
import polars
from numpy.typing import NDArray

from datamodules.tables.label_sets import split_joined, unclear_names
from modules.evaluation.group_names import Group
from reports.analysis.intervals import Estimate
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
from reports.analysis.label_results import mean_sizes
from reports.paired_tests import same_rows, sample_of_row
from reports.run_files import RunFiles
from reports.samples.evaluated import TEST_EVALUATED

_MOST_LOST = 0.005
"""Largest mean difference of average precisions that a calibration with a small temperature may make by rounding."""


@dataclass(frozen=True)
class PairedLabels:
    """What R runs say of L labels of the same n test rows.

    Attributes:
        names: L labels.
        labels: 1 the sample has the label, 0 it does not, -1 not known, int64 (n, L); all -1 for labels that some run
            has no training samples with, which are in no mean.
        found: What each run says; the scores are calibrated probabilities.
        sample_of_row: int64 (n,), equal for rows of the same sample, which are drawn together.
        groups: Group of each label.
        resamples: Number of resamples of the test samples.
        total: Number of test rows, of which the n are a part if there are more.
    """

    names: tuple[str, ...]
    labels: NDArray[Any]
    found: tuple[LabelPredictions, ...]
    sample_of_row: NDArray[Any]
    groups: tuple[Group, ...]
    resamples: int
    total: int

    @cached_property
    def samples(self) -> NDArray[Any]:
        """Number of different test samples that are known to have each label, int64 (L,)."""
        return numpy.array([len(numpy.unique(self.sample_of_row[own])) for own in (self.labels == 1).T])

    @cached_property
    def _scores(self) -> list[dict[str, NDArray[Any]]]:
        """Scores of each label by each run, as of `weighted_scores`."""
        weights = draw_resamples(self.sample_of_row, self.resamples)
        return [weighted_scores(self.labels, one, weights) for one in self.found]

    @cached_property
    def _means(self) -> list[dict[str, NDArray[Any]]]:
        return [mean_scores(own, self.groups) for own in self._scores]

    @cached_property
    def _sizes(self) -> dict[str, tuple[int, int]]:
        return mean_sizes(self._means[0], self.labels, self.sample_of_row, self.groups)

    def samples_of(self, name: str) -> int:
        """Number of different test samples that a metric is measured on.

        Args:
            name: Name of a mean, as of `mean_scores`.
        """
        return self._sizes[name][0]

    @cached_property
    def estimates(self) -> list[dict[str, Estimate]]:
        """Means of each run by name, with intervals."""
        return [{name: estimate(own[name], self.samples_of(name)) for name in own} for own in self._means]

    @cached_property
    def differences(self) -> dict[tuple[int, int], dict[str, Estimate]]:
        """Means of one run minus those of another, by the places of both and by name."""
        return {
            (one, other): {
                name: difference(self._means[one][name], self._means[other][name], *self._sizes[name])
                for name in self._sizes
            }
            for one, other in permutations(range(len(self.found)), 2)
        }

    def metrics(self, run: int) -> Mapping[str, float | None]:
        """Means and average precisions, named as in `test_metrics.json`; None where a score does not exist.

        They differ from those of the file where probabilities before calibration rank otherwise, as in an ensemble
        whose members are calibrated one by one; where another run has no training samples with a label; and where only
        a part of the test rows is drawn.

        Args:
            run: Place of the run.
        """
        found = {name: one.value for name, one in self.estimates[run].items()}
        of_label = self._scores[run]["average_precision"][:, 0].tolist()
        found |= {f"average_precision/{name}": value for name, value in zip(self.names, of_label, strict=True)}
        return {f"test/{name}": None if numpy.isnan(value) else value for name, value in found.items()}

    def score_bounds(self, run: int) -> tuple[NDArray[Any], NDArray[Any]]:
        """95 % intervals of the average precision of each label, float64 (L,) each, as of `label_estimates`.

        Args:
            run: Place of the run.
        """
        found = label_estimates(self._scores[run]["average_precision"], self.samples)
        return numpy.array([one.low for one in found]), numpy.array([one.high for one in found])

    def clear_classes(self, run: int) -> NDArray[Any]:
        """Labels whose average precision differs from that of the first run beyond noise, bool (L,).

        The interval of the difference leaves out 0, and `FEWEST` different samples or more have the label.

        Args:
            run: Place of the run.
        """
        ours, theirs = (self._scores[place]["average_precision"] for place in (run, 0))
        sizes = self.samples.tolist()
        gains = [difference(*of_label) for of_label in zip(ours, theirs, sizes, sizes, strict=True)]
        return numpy.array([gain.is_clear for gain in gains], dtype=bool)


def pair_labels(
    runs: Sequence[RunFiles], groups: tuple[Group, ...], resamples: int | None = None, most: int = TEST_EVALUATED
) -> PairedLabels | str:
    """Collect the predictions of runs with the same labels.

    Args:
        runs: The runs.
        groups: Group of each label.
        resamples: Number of resamples of the test samples; `number_of_resamples` if None.
        most: Largest number of test rows, which are drawn at random if there are more.

    Returns:
        The predictions, or why there are none to compare.
    """
    frames = same_rows(runs)
    if isinstance(frames, str):
        return frames
    total, names = len(frames[0]), runs[0].task.classes
    rows = numpy.sort(numpy.random.default_rng(0).permutation(total)[:most])
    frames = [frame[rows] for frame in frames]
    first = frames[0]
    unclear = unclear_names(names)
    if unclear:
        return f"the label {unclear[0]!r} cannot be told from others in the joined labels of test_predictions.csv"
    seen = numpy.min([run.task.class_counts for run in runs], axis=0) > 0
    labels = split_joined(first["true_labels"], names).astype(numpy.int64)
    labels[split_joined(first["unknown_labels"], names) | ~seen] = -1
    if not ((labels == 1).any(axis=0) & (labels == 0).any(axis=0)).any():
        return "no label has training samples in every run and test samples both with it and without it"
    shares = [f"p/{name}" for name in names]
    found = [
        LabelPredictions(
            frame.select(polars.col(shares).cast(polars.Float64)).to_numpy(),
            split_joined(frame["predicted_labels"], names),
        )
        for frame in frames
    ]
    if resamples is None:
        resamples = number_of_resamples(*labels.shape)
    paired = PairedLabels(names, labels, tuple(found), sample_of_row(first), groups, resamples, total)
    if total == len(first):
        for place, (run, frame) in enumerate(zip(runs, frames, strict=True)):
            # Folds of an ensemble are calibrated one by one, so the order of samples may be another.
            if "fold" not in frame.columns and _lost(paired.metrics(place), run.metrics) > _MOST_LOST:
                return f"the probabilities in test_predictions.csv of {run.folder} are too near 1 to rank its samples"
    return paired


def _lost(found: Mapping[str, float | None], metrics: Mapping[str, float | None]) -> float:
    """Mean difference of the average precisions of labels from those before calibration, 0 without any."""
    pairs = [(own, metrics.get(name)) for name, own in found.items() if name.startswith("test/average_precision/")]
    lost = [abs(own - before) for own, before in pairs if own is not None and before is not None]
    return sum(lost) / max(len(lost), 1)
