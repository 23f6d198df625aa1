"""Makes the columns that the predictions of a model add to a table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from base.errors import InputError
from modules.decision_choice import sets_from_file
from modules.evaluation.evidence_columns import NEIGHBORS
from modules.evaluation.prediction_columns import PredictionColumns
from modules.evaluation.prediction_evidence import PredictionEvidence
from modules.multilabel.label_columns import LabelColumns

if TYPE_CHECKING:
    from modules.drug_classifier import DrugClassifier


def make_columns(
    model: DrugClassifier,
    checkpoint: Path | None,
    evidence: PredictionEvidence | None,
    top: int | None = None,
    neighbors: int = NEIGHBORS,
    coverage: float | None = None,
) -> PredictionColumns | LabelColumns:
    """The columns for samples that have one label, or several.

    Args:
        model: A built model, whose weights are not used.
        checkpoint: Its checkpoint, beside which the scores are that sets are chosen on.
        evidence: Evidence of the checkpoint; None for no columns of evidence.
        top: Number of most probable classes to write; None writes a column for each class.
        neighbors: Number of nearest training samples to write.
        coverage: Share of samples whose set of labels must contain the true one, or of the labels of samples that may
            have several; None for no sets.

    Raises:
        InputError: If `top` or `coverage` is out of range, there are no scores to choose sets on, or the evidence has
            other classes or fingerprints.
    """
    assert model.task is not None
    sets = None
    if coverage is not None:
        if checkpoint is None:
            raise InputError("coverage: expected a model that was loaded from a checkpoint, got another one.")
        sets = sets_from_file(model, checkpoint, coverage)
        sets.warn_of_few()
    if model.task.is_multilabel:
        return LabelColumns(model.task, evidence, top, neighbors, sets)
    return PredictionColumns(model.task, model.decision.has_uncertainty, evidence, top, neighbors, sets)
