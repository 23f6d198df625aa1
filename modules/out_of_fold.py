"""Out-of-fold probabilities, with decisions that the same samples have not chosen."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from modules.decision import Decision
from modules.drug_classifier import DrugClassifier
from modules.evaluation.split_metrics import SplitMetrics
from modules.evaluation.split_scores import SplitScores, joined


def cross_fitted(model: DrugClassifier, folds: Sequence[SplitScores]) -> list[Decision]:
    """The decision for each fold that the scores of the other folds choose.

    Args:
        model: The ensemble.
        folds: Out-of-fold scores of the samples of each fold, two folds or more.
    """
    decisions = []
    for number in range(len(folds)):
        others = joined([scores for place, scores in enumerate(folds) if place != number])
        decision = Decision(model.class_state.counts, model.objective.classification_loss)
        decision.fit(others.logits, others.labels, model.network.classifier)
        decisions.append(decision)
    return decisions


def out_of_fold_metrics(model: DrugClassifier, folds: Sequence[SplitScores]) -> tuple[dict[str, Tensor], Tensor]:
    """Metrics of the samples of all folds together, with cross-fitted decisions.

    Args:
        model: The ensemble.
        folds: Out-of-fold scores of the samples of each fold.

    Returns:
        See `SplitMetrics.compute_and_reset`.
    """
    metrics = SplitMetrics(model.class_state.counts, model.head_fraction, model.tail_fraction)
    for decision, scores in zip(cross_fitted(model, folds), folds, strict=True):
        metrics.update(decision.probabilities(scores.logits), scores.labels, decision.calibration)
    return metrics.compute_and_reset()
