"""How often labels are right on each level of applicability, on samples that the estimate has not seen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy
import torch
from numpy.typing import NDArray
from torch import Tensor

from base.stratified import draw_some
from datamodules.drug_datamodule import DrugDataModule
from modules.decision import Decision
from modules.drug_classifier import DrugClassifier
from modules.evaluation.applicability import accuracy_by_level
from modules.evaluation.prediction_evidence import PredictionEvidence
from modules.evaluation.split_scores import SplitScores, joined
from modules.make_evidence import MOST_UNSEEN_SAMPLES, estimate_of, nearest_of_rows, signals_of

LEVELS_FILE = "accuracy_by_applicability.json"
"""File in the folder of a run with these numbers for the test samples."""


def tested_levels(
    model: DrugClassifier, data: DrugDataModule, scores: SplitScores, embeddings: Tensor, evidence: PredictionEvidence
) -> list[dict[str, Any]]:
    """How often the labels of test rows are right on each level, see `accuracy_by_level`.

    Args:
        model: The model.
        data: Its data module, set up.
        scores: Scores of the test rows, one or more, in order; of many, some are drawn (`MOST_UNSEEN_SAMPLES`).
        embeddings: Their embeddings, (N, d).
        evidence: The evidence of the model.
    """
    by_tanimoto, rows = evidence.samples.by_tanimoto, scores.rows.cpu().numpy()
    drawn = draw_some(len(rows), MOST_UNSEEN_SAMPLES)
    scores, embeddings = scores.of_rows(rows[drawn]), embeddings[torch.from_numpy(drawn).to(embeddings.device)]
    near = nearest_of_rows(evidence.samples, model, data, rows[drawn], embeddings)
    found, right = signals_of(model.decision, scores, near, by_tanimoto)
    return accuracy_by_level(evidence.applicability.estimate(found), right, data.records.samples[rows[drawn]])


def crossed_levels(
    decisions: Sequence[Decision], folds: Sequence[SplitScores], evidence: PredictionEvidence, samples: NDArray[Any]
) -> list[dict[str, Any]]:
    """As `tested_levels`, of the rows of each fold by the decision and the estimate of the other folds.

    Args:
        decisions: The decision for each fold, from `cross_fitted`.
        folds: Out-of-fold scores of the rows of each fold, two folds or more.
        evidence: The evidence of the ensemble.
        samples: Equal for rows of the table that are the same sample, int64 (rows,).
    """
    by_tanimoto, estimates, rights, rows = evidence.samples.by_tanimoto, [], [], []
    for number, (decision, scores) in enumerate(zip(decisions, folds, strict=True)):
        others = joined([one for place, one in enumerate(folds) if place != number])
        own, rest = (evidence.unseen.of_rows(one.rows.cpu().numpy()) for one in (scores, others))
        found, right = signals_of(decision, scores.of_rows(own.rows), own.neighbors, by_tanimoto)
        estimates.append(estimate_of(decision, others, rest, by_tanimoto).estimate(found))
        rights.append(right)
        rows.append(own.rows)
    same = samples[numpy.concatenate(rows)]
    return accuracy_by_level(numpy.concatenate(estimates), numpy.concatenate(rights), same)
