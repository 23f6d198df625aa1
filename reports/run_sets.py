"""The prediction sets of a run, measured on test samples."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy

from modules.evaluation.split_scores import SplitScores, scores_path
from reports.analysis.set_coverage import COVERAGE, SetCoverage, set_coverage
from reports.run_files import RunFiles
from reports.samples.evaluated import EvaluatedSamples

if TYPE_CHECKING:
    from datamodules.drug_datamodule import DrugDataModule
    from modules.drug_classifier import DrugClassifier


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
