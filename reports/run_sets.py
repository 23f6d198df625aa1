"""The prediction sets of a run, measured on test samples."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy
from numpy.typing import NDArray

from modules.evaluation.split_scores import SplitScores, scores_path
from reports.analysis.set_coverage import COVERAGE, SetCoverage, set_coverage
from reports.run_files import RunFiles
from reports.samples.evaluated import EvaluatedSamples

if TYPE_CHECKING:
    from datamodules.drug_datamodule import DrugDataModule
    from modules.drug_classifier import DrugClassifier


def members_of_test(
    model: DrugClassifier, data: DrugDataModule, rows: NDArray[Any], logits: NDArray[Any], run: RunFiles
) -> NDArray[Any] | None:
    """Which labels are in the sets of test samples that have not chosen the sets.

    Args:
        model: The model.
        data: Its data module, set up.
        rows: Rows of the test samples, (n,); of an ensemble without test rows, of out-of-fold ones.
        logits: Their logits with the second opinions, float32 (n, C).
        run: The files of the run.

    Returns:
        bool (n, C); None without scores beside the checkpoint, or where one fold is both validation and test.
    """
    import torch

    from modules.decision_choice import sets_from_file
    from modules.out_of_fold import cross_fitted_sets

    if not scores_path(run.checkpoint).is_file() or (data.split.fold is not None and not data.split.has_test_rows):
        return None
    given = torch.from_numpy(logits)
    if data.split.has_test_rows:
        members = sets_from_file(model, run.checkpoint, COVERAGE).members(given)
    else:
        assert data.records.folds is not None
        scores = SplitScores.load(scores_path(run.checkpoint), run.task.num_classes)
        fold_of = torch.from_numpy(data.records.folds[scores.rows.numpy()])
        own = torch.from_numpy(data.records.folds[rows])
        folds = [scores.part(fold_of == fold) for fold in range(data.split.folds or 0)]
        members = torch.zeros(given.shape, dtype=torch.bool)
        for fold, sets in enumerate(cross_fitted_sets(model, folds, COVERAGE)):
            members[own == fold] = sets.members(given[own == fold])
    found: NDArray[Any] = members.numpy()
    return found


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
        The coverage; None where there is none of `members_of_test`.
    """
    members = members_of_test(model, data, test.rows, test.logits, run)
    if members is None:
        return None
    return set_coverage(members, test.codes, test.total, numpy.array(run.task.class_counts), test.samples)
