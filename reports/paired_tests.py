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

from modules.evaluation.group_names import Group
from reports.analysis.f1_differences import f1_differences
from reports.analysis.intervals import Estimate, accuracies, accuracy_differences, wilson
from reports.analysis.same_samples import different, different_by_class
from reports.run_files import RunFiles

_NOT_COMPARED = ("id", "predicted_label", "predicted_labels", "probability", "calibrated_probability", "split", "fold")
_CHANCE = 0.05
"""Largest p-value of a difference that is no noise."""


@dataclass(frozen=True)
class PairedTests:
    """The labels that R runs predict for the same n test rows of C classes.

    Attributes:
        codes: int64 (n,), class codes; rows of classes without training samples are left out.
        predicted: int64 (R, n), predicted class codes.
        sample_of_row: int64 (n,), equal for rows of the same sample, as of `sample_of_row`.
        groups: Group of each class.
    """

    codes: NDArray[Any]
    predicted: NDArray[Any]
    sample_of_row: NDArray[Any]
    groups: tuple[Group, ...]

    @cached_property
    def samples(self) -> NDArray[Any]:
        """Number of different test samples of each class, int64 (C,)."""
        return different_by_class(self.codes, self.sample_of_row, len(self.groups))

    @cached_property
    def _rows(self) -> NDArray[Any]:
        """Number of test rows of each class, int64 (C,)."""
        return numpy.bincount(self.codes, minlength=len(self.groups))

    @cached_property
    def estimates(self) -> list[dict[str, Estimate]]:
        """Accuracies of each run by name, with intervals."""
        given = (self._rows > 0, self._rows, self.groups, self.sample_of_row)
        return [accuracies(self.codes, own, *given) for own in self.predicted]

    def samples_of(self, name: str) -> int:
        """Number of different test samples that a metric is measured on.

        Args:
            name: Name of the metric.
        """
        return self.estimates[0][name].samples if name in self.estimates[0] else different(self.sample_of_row)

    @cached_property
    def differences(self) -> dict[tuple[int, int], dict[str, Estimate]]:
        """Accuracies and F1 of one run minus those of another, by the places of both and by name."""
        found: dict[tuple[int, int], dict[str, Estimate]] = {}
        for one, other in combinations(range(len(self.predicted)), 2):
            given = (self.codes, self.predicted[one], self.predicted[other])
            found[one, other] = {
                **accuracy_differences(*given, self._rows > 0, self._rows, self.groups, self.sample_of_row),
                **f1_differences(*given, len(self.groups), samples=self.sample_of_row),
            }
            found[other, one] = {name: _negated(gain) for name, gain in found[one, other].items()}
        return found

    def score_bounds(self, run: int) -> tuple[NDArray[Any], NDArray[Any]]:
        """Wilson's 95 % intervals of the recall of each class, whose trials are samples, float64 (C,) each.

        Args:
            run: Place of the run.
        """
        right = self.codes[self.predicted[run] == self.codes]
        recall = numpy.bincount(right, minlength=len(self.groups)) / numpy.maximum(self._rows, 1)
        return wilson(recall * self.samples, self.samples)

    def clear_classes(self, run: int) -> NDArray[Any]:
        """Classes whose recall differs from that of the first run beyond noise, bool (C,).

        By McNemar's exact test: of the samples that one run gets right on more rows, how surprising is the share of
        either run?

        Args:
            run: Place of the run.
        """
        from scipy.stats import binomtest

        size = len(self.groups)
        right, first = (self.predicted[place] == self.codes for place in (run, 0))
        # A sample with several rows has one vote.
        pairs, of_row = numpy.unique(self.sample_of_row * size + self.codes, return_inverse=True)
        votes = numpy.bincount(of_row.reshape(-1), right.astype(float) - first)
        gained, lost = (numpy.bincount(pairs[one] % size, minlength=size) for one in (votes > 0, votes < 0))
        found = zip(gained.tolist(), (gained + lost).tolist(), strict=True)
        return numpy.array([bool(both) and binomtest(own, both).pvalue < _CHANCE for own, both in found], dtype=bool)


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
    return PairedTests(codes[known], predicted[:, known], sample_of_row(first)[known], groups)


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


def sample_of_row(frame: polars.DataFrame) -> NDArray[Any]:
    """Numbers that are equal for rows of the same sample, int64 (n,).

    The file of predictions does not say which rows are the same sample. Rows whose SMILES are the same text are taken
    for one, so that other spellings and salts of a drug count as other samples, and a drug with several proteins counts
    as one. Rows without SMILES are samples of their own.

    Args:
        frame: Predictions of n rows, as in `test_predictions.csv`.
    """
    smiles = [name for name in frame.columns if name in ("smiles", "smiles_1", "smiles_2")]
    if not smiles:
        return numpy.arange(len(frame))
    texts = frame.select(polars.concat_str(smiles, separator=" ")).to_series()
    return texts.rank("dense").to_numpy().astype(numpy.int64)


def _negated(one: Estimate) -> Estimate:
    return Estimate(-one.value, -one.high, -one.low, one.samples)
