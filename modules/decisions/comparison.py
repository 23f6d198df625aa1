"""What decisions are worth on scores."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy

import torch
from torch import Tensor

from modules.decision import Decision
from modules.decisions.objectives import DecisionObjective
from modules.evaluation.split_scores import SplitScores
from modules.evaluation.tail_metrics import TailMetrics

SHOWN = ("balanced_accuracy", "accuracy", "macro_f1", "head_accuracy", "middle_accuracy", "tail_accuracy")
"""Names of the metrics that decisions are compared by."""
_FOLDS = 5


def decision_metrics(decision: Decision, scores: SplitScores, metrics: TailMetrics) -> dict[str, float]:
    """The metrics `SHOWN` of a decision, and the mean `cost` if it has costs.

    Args:
        decision: The decision.
        scores: Scores of samples.
        metrics: Metrics of the classes, without samples.
    """
    labels = decision.labels(decision.probabilities(scores.logits))
    return label_metrics(labels, scores.labels, decision, metrics)


def crossed_metrics(
    decision: Decision, scores: SplitScores, objective: DecisionObjective, head: Sequence[int], metrics: TailMetrics
) -> dict[str, float]:
    """The metrics of the decisions of an objective for samples that it was not chosen on, by cross-fitting.

    Args:
        decision: A decision of the model, which stays as it is.
        scores: Scores of samples.
        objective: The objective.
        head: Head classes.
        metrics: Metrics of the classes, without samples.
    """
    own, scores = deepcopy(decision), scores.in_order()
    order = scores.labels.argsort(stable=True)
    fold, labels = torch.empty_like(scores.labels), torch.zeros_like(scores.labels)
    fold[order] = torch.arange(len(order), device=fold.device) % _FOLDS
    for number in range(_FOLDS):
        inside = fold == number
        own.choose(scores.of(~inside), objective, head)
        labels[inside] = own.labels(own.probabilities(scores.logits[inside]))
    return label_metrics(labels, scores.labels, own, metrics)


def label_metrics(predicted: Tensor, labels: Tensor, decision: Decision, metrics: TailMetrics) -> dict[str, float]:
    """The metrics `SHOWN` of predicted labels, and the mean `cost` if the decision has costs.

    Args:
        predicted: Predicted labels, int64 (N,).
        labels: Labels, int64 (N,); those of classes without training samples are left out.
        decision: The decision that predicted them.
        metrics: Metrics of the classes, without samples.
    """
    known = decision.counts[labels] > 0
    predicted, labels = predicted[known], labels[known]
    metrics.update(torch.nn.functional.one_hot(predicted, metrics.num_classes).float(), labels)
    values = {name: float(value) for name, value in metrics.compute().items() if name in SHOWN}
    metrics.reset()
    if decision.costs is not None:
        values["cost"] = float(decision.costs.to(labels.device)[labels, predicted].mean())
    return values
