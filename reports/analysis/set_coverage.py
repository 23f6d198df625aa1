"""How often prediction sets hold the label of test samples, for each class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy
from numpy.typing import NDArray

from modules.evaluation.split_scores import SplitScores, scores_path
from reports.analysis.class_scores import Group
from reports.analysis.intervals import Estimate, wilson

if TYPE_CHECKING:
    from datamodules.drug_datamodule import DrugDataModule
    from modules.drug_classifier import DrugClassifier
    from reports.run_files import RunFiles
    from reports.samples.evaluated import EvaluatedSamples

COVERAGE = 0.9
"""Share of the samples whose set must contain their label."""


@dataclass(frozen=True)
class SetCoverage:
    """Prediction sets of test samples, by the C classes of the samples.

    Attributes:
        covered: int64 (C,), number of evaluated samples whose set contains their label.
        evaluated: int64 (C,), number of evaluated samples; 0 for a class without training samples.
        sizes: int64 (C,), labels in all sets together.
        total: int64 (C,), test samples of each class, also those that were not evaluated.
    """

    covered: NDArray[Any]
    evaluated: NDArray[Any]
    sizes: NDArray[Any]
    total: NDArray[Any]

    @property
    def of_classes(self) -> NDArray[Any]:
        """Share of the samples of each class that are covered, float64 (C,); NaN without samples."""
        return numpy.where(self.evaluated > 0, self.covered / numpy.maximum(self.evaluated, 1), numpy.nan)

    def of(self, groups: Sequence[Group], group: Group | None) -> tuple[Estimate, float]:
        """Share of the samples that are covered, and the mean size of their sets, NaN without samples.

        Args:
            groups: Group of each class.
            group: The group of the classes to count; None for all.
        """
        own = (self.evaluated > 0) & (True if group is None else numpy.array(groups) == group)
        samples = int(self.evaluated[own].sum())
        if not samples:
            return Estimate(numpy.nan, numpy.nan, numpy.nan, 0), numpy.nan
        # Of a large class, only a part may have been evaluated.
        weights = self.total[own] / self.total[own].sum()
        value = float(weights @ self.of_classes[own])
        size = float(weights @ (self.sizes[own] / self.evaluated[own]))
        low, high = wilson(numpy.array([round(value * samples)]), numpy.array([samples]))
        return Estimate(value, float(low[0]), float(high[0]), samples), size


def set_coverage(
    members: NDArray[Any], codes: NDArray[Any], total: NDArray[Any], training: NDArray[Any]
) -> SetCoverage:
    """Count the covered samples of each class.

    Args:
        members: bool (n, C), which classes are in the set of each evaluated sample.
        codes: int (n,), class codes of the samples.
        total: int (C,), test samples of each class.
        training: int (C,), training samples of each class; no set promises to cover a class without any.
    """
    known = training[codes] > 0
    codes, members, size = codes[known], members[known], len(total)
    covered = numpy.bincount(codes[members[numpy.arange(len(codes)), codes]], minlength=size)
    sizes = numpy.bincount(codes, members.sum(axis=1), minlength=size).astype(numpy.int64)
    return SetCoverage(covered, numpy.bincount(codes, minlength=size), sizes, total)


def measure_coverage(
    model: DrugClassifier, data: DrugDataModule, test: EvaluatedSamples, run: RunFiles
) -> SetCoverage | None:
    """Coverage of the sets of a model on test samples that have not chosen them.

    Args:
        model: The model.
        data: Its data module, set up.
        test: The test samples; of an ensemble without test rows, out-of-fold ones.
        run: The files of the run.

    Returns:
        The coverage; None without scores beside the checkpoint.
    """
    import torch

    from modules.decision_choice import sets_from_file
    from modules.out_of_fold import cross_fitted_sets

    if not scores_path(run.checkpoint).is_file():
        return None
    logits = torch.from_numpy(test.logits)
    if data.split.has_test_rows or data.split.fold is not None:
        members = sets_from_file(model, run.checkpoint, COVERAGE).members(logits)
    else:
        assert data.records.folds is not None
        scores = SplitScores.load(scores_path(run.checkpoint), run.task.num_classes)
        fold_of = torch.from_numpy(data.records.folds[scores.rows.numpy()])
        own = torch.from_numpy(data.records.folds[test.rows])
        folds = [scores.part(fold_of == fold) for fold in range(data.split.folds or 0)]
        members = torch.zeros(logits.shape, dtype=torch.bool)
        for fold, sets in enumerate(cross_fitted_sets(model, folds, COVERAGE)):
            members[own == fold] = sets.members(logits[own == fold])
    return set_coverage(members.numpy(), test.codes, test.total, numpy.array(run.task.class_counts))
