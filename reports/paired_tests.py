"""Predictions of several runs for the same test samples, and how much the runs differ beyond noise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import Any

import numpy
import polars
from numpy.typing import NDArray

from reports.analysis.class_scores import Group
from reports.analysis.f1_differences import f1_differences
from reports.analysis.intervals import Estimate, accuracies, accuracy_differences, wilson
from reports.run_files import RunFiles

_NOT_COMPARED = ("predicted_label", "predicted_labels", "probability", "calibrated_probability", "split", "fold")
_CHANCE = 0.05
"""Largest p-value of a difference that is no noise."""


@dataclass(frozen=True)
class PairedTests:
    """The labels that R runs predict for the same n test samples of C classes.

    Attributes:
        codes: int64 (n,), class codes; samples of classes without training samples are left out.
        predicted: int64 (R, n), predicted class codes.
        groups: Group of each class.
    """

    codes: NDArray[Any]
    predicted: NDArray[Any]
    groups: tuple[Group, ...]

    @property
    def samples(self) -> NDArray[Any]:
        """Number of test samples of each class, int64 (C,)."""
        return numpy.bincount(self.codes, minlength=len(self.groups))

    @cached_property
    def estimates(self) -> list[dict[str, Estimate]]:
        """Accuracies of each run by name, with intervals."""
        sizes = self.samples
        return [accuracies(self.codes, own, sizes > 0, sizes, self.groups) for own in self.predicted]

    def samples_of(self, name: str) -> int:
        """Number of test samples that a metric is measured on.

        Args:
            name: Name of the metric.
        """
        return self.estimates[0][name].samples if name in self.estimates[0] else len(self.codes)

    @cached_property
    def differences(self) -> dict[tuple[int, int], dict[str, Estimate]]:
        """Accuracies and F1 of one run minus those of another, by the places of both and by name."""
        sizes = self.samples
        found: dict[tuple[int, int], dict[str, Estimate]] = {}
        for one, other in combinations(range(len(self.predicted)), 2):
            given = (self.codes, self.predicted[one], self.predicted[other])
            found[one, other] = {
                **accuracy_differences(*given, sizes > 0, sizes, self.groups),
                **f1_differences(*given, len(self.groups)),
            }
            found[other, one] = {name: _negated(gain) for name, gain in found[one, other].items()}
        return found

    def score_bounds(self, run: int) -> tuple[NDArray[Any], NDArray[Any]]:
        """Wilson's 95 % intervals of the recall of each class, float64 (C,) each.

        Args:
            run: Place of the run.
        """
        right = self.codes[self.predicted[run] == self.codes]
        return wilson(numpy.bincount(right, minlength=len(self.groups)), self.samples)

    def clear_classes(self, run: int) -> NDArray[Any]:
        """Classes whose recall differs from that of the first run beyond noise, bool (C,).

        By McNemar's exact test: of the samples that one run alone gets right, how surprising is the share of either?

        Args:
            run: Place of the run.
        """
        from scipy.stats import binomtest

        size = len(self.groups)
        right, first = (self.predicted[place] == self.codes for place in (run, 0))
        gained, lost = (numpy.bincount(self.codes[one], minlength=size) for one in (right & ~first, first & ~right))
        pairs = zip(gained.tolist(), (gained + lost).tolist(), strict=True)
        return numpy.array([bool(both) and binomtest(own, both).pvalue < _CHANCE for own, both in pairs], dtype=bool)


def pair_tests(runs: Sequence[RunFiles], groups: tuple[Group, ...]) -> PairedTests | str:
    """Collect the predictions of runs with the same classes.

    Args:
        runs: The runs.
        groups: Group of each class.

    Returns:
        The predictions, or why there are none to compare.
    """
    frames = same_rows(runs)
    if isinstance(frames, str):
        return frames
    first = frames[0]
    places = {name: code for code, name in enumerate(runs[0].task.classes)}
    codes = numpy.array([places[name] for name in first["true_label"]], dtype=numpy.int64)
    predicted = numpy.array([[places[name] for name in frame["predicted_label"]] for frame in frames])
    seen = numpy.min([run.task.class_counts for run in runs], axis=0) > 0
    known = seen[codes]
    if not known.any():
        return "no test sample is of a class with training samples"
    return PairedTests(codes[known], predicted[:, known], groups)


def same_rows(runs: Sequence[RunFiles]) -> list[polars.DataFrame] | str:
    """The predictions of each run, if they are of the same test rows with the same true labels, or else why not.

    Args:
        runs: Runs with the same classes or labels.
    """
    frames = []
    for run in runs:
        if run.predictions is None:
            return f"there is no test_predictions.csv in {run.folder}"
        frames.append(run.predictions)
    first = frames[0]
    same = [name for name in first.columns if name not in _NOT_COMPARED and not name.startswith("p/")]
    for run, frame in zip(runs, frames, strict=True):
        if not set(same) <= set(frame.columns) or not frame.select(same).equals(first.select(same)):
            return f"the test samples of {run.folder} are not those of {runs[0].folder}"
    return frames


def _negated(one: Estimate) -> Estimate:
    return Estimate(-one.value, -one.high, -one.low, one.samples)
