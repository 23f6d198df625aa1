"""Out-of-fold metrics, with decisions that the same samples have not chosen."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from modules.decision import Decision
from modules.decisions.objectives import DecisionObjective
from modules.drug_classifier import DrugClassifier
from modules.evaluation.split_scores import SplitScores, joined
from modules.evaluation.threshold_sets import ThresholdSets
from modules.multilabel.metrics import LabelMetrics
from modules.tested_predictions import joined_samples


def cross_fitted(model: DrugClassifier, folds: Sequence[SplitScores], objective: DecisionObjective) -> list[Decision]:
    """The decision for each fold that the scores of the other folds choose.

    Args:
        model: The ensemble.
        folds: Out-of-fold scores of the samples of each fold, two folds or more.
        objective: The objective that chooses.
    """
    decisions = []
    for number in range(len(folds)):
        others = joined([scores for place, scores in enumerate(folds) if place != number])
        decision = _fresh_decision(model)
        decision.choose(others, objective, model.metrics.tail_metrics.groups["head"])
        decisions.append(decision)
    return decisions


def cross_fitted_sets(model: DrugClassifier, folds: Sequence[SplitScores], coverage: float) -> list[ThresholdSets]:
    """The prediction sets for each fold that the scores of the other folds choose.

    Args:
        model: The ensemble.
        folds: Out-of-fold scores of the samples of each fold, two folds or more.
        coverage: As of `sets_from_file`.
    """
    sets = []
    for number in range(len(folds)):
        others = joined([scores for place, scores in enumerate(folds) if place != number])
        decision = _fresh_decision(model)
        sets.append(decision.sets(others, model.metrics.tail_metrics.groups["head"], coverage))
    return sets


def _fresh_decision(model: DrugClassifier) -> Decision:
    decision = model.new_decision()
    decision.removed_prior.copy_(model.decision.removed_prior)
    return decision


def out_of_fold_metrics(
    model: DrugClassifier, folds: Sequence[SplitScores], decisions: Sequence[Decision]
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Metrics of the samples of all folds together.

    Args:
        model: The ensemble.
        folds: Out-of-fold scores of the samples of each fold.
        decisions: The decision for each fold, from `cross_fitted`.

    Returns:
        See `SplitMetrics.of_split`.
    """
    metrics = model.new_metrics()
    if isinstance(metrics, LabelMetrics):
        tested = joined_samples(decisions, folds)
        return metrics.of_entries(tested.probability, tested.calibrated, tested.predicted, tested.labels)
    compared: dict[str, list[Tensor]] = {}
    for decision, scores in zip(decisions, folds, strict=True):
        probabilities = decision.probabilities(scores.logits)
        metrics.update(probabilities, scores.labels, decision.calibration, decision.labels(probabilities))
        for name, labels in decision.compared_labels(scores).items():
            compared.setdefault(name, []).append(labels)
    values, of_class = metrics.compute_and_reset()
    labels = torch.cat([scores.labels for scores in folds])
    return values | metrics.of_compared({name: torch.cat(own) for name, own in compared.items()}, labels), of_class
