"""Choosing the decision of a model anew, and what decisions are worth on scores."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from modules.checkpoint_file import Checkpoint, read_checkpoint, weights_digest
from modules.decision import Decision
from modules.decisions.objectives import CostMatrix, DecisionObjective, NamedRecall
from modules.decisions.samples import even_folds
from modules.decisions.settings import DecisionSettings
from modules.drug_classifier import DrugClassifier
from modules.evaluation.split_metrics import SplitMetrics
from modules.evaluation.split_scores import SplitScores, scores_path
from modules.evaluation.threshold_sets import ThresholdSets
from modules.losses.multilabel.multilabel_loss import MultilabelLoss
from modules.saved_settings.checkpoint_check import CheckpointCheck

_SHOWN = ("balanced_accuracy", "accuracy", "macro_f1", "head_accuracy", "middle_accuracy", "tail_accuracy")
_FOLDS = 5


def choose_decision(model: DrugClassifier, scores: SplitScores, settings: DecisionSettings) -> None:
    """Choose the decision of a model anew.

    Args:
        model: The model, whose decision changes.
        scores: Scores of samples that the model was not trained on, of all processes.
        settings: The objective.

    Raises:
        InputError: If the settings do not fit the classes.
    """
    assert model.task is not None
    objective = settings.make(model.task)
    model.decision.choose(scores.to(model.device), objective, model.metrics.tail_metrics.groups["head"])


def choose_from_file(model: DrugClassifier, checkpoint: Path, settings: DecisionSettings) -> SplitScores:
    """Choose the decision of a model anew, on the scores beside its checkpoint.

    All rows have trained the model of a refit, so it takes the decision that is chosen for the best checkpoint of its
    run.

    Args:
        model: The model, whose decision changes.
        checkpoint: Its checkpoint.
        settings: The objective.

    Returns:
        The scores, on the device of the model.

    Raises:
        InputError: If there are no scores of the weights that they are for, or the settings do not fit the classes.
    """
    saved = read_checkpoint(checkpoint)
    assert model.task is not None
    objective = settings.make(model.task)
    if saved.is_refit:
        decision, scores, head = _measured(model, saved)
        decision.choose(scores, objective, head)
        model.decision.load_state_dict(without_opinions(decision.state_dict()), strict=False)
        scores = scores.to(model.device)
    else:
        scores = read_scores(model, checkpoint)
        choose_decision(model, scores, settings)
    if model.task.is_multilabel and isinstance(objective, NamedRecall):
        objective.warn_of_missing(scores.labels)
    return scores


def sets_from_file(model: DrugClassifier, checkpoint: Path, coverage: float) -> ThresholdSets:
    """Choose prediction sets on the scores beside a checkpoint; of a refit, beside the best checkpoint of its run.

    Args:
        model: A built model, whose weights are not used.
        checkpoint: Its checkpoint.
        coverage: Share of samples whose set must contain their label, above 0 and below 1; of samples that may have
            several labels, the share of these.

    Raises:
        InputError: If there are no scores of the weights that they are for, or `coverage` is not in this range.
    """
    decision, scores, head = _measured(model, read_checkpoint(checkpoint))
    return decision.sets(scores, head, coverage)


def _measured(model: DrugClassifier, saved: Checkpoint) -> tuple[Decision, SplitScores, tuple[int, ...]]:
    """Decision, scores and head classes of the checkpoint of a run that was measured."""
    best = read_checkpoint(saved.measured) if saved.is_refit else saved
    counts, loss = torch.tensor(best.task.class_counts), model.decision.loss
    if isinstance(loss, MultilabelLoss):
        # The prior of the labels is that of the samples which have trained the best checkpoint.
        loss = deepcopy(loss)
        loss.build(torch.tensor(best.task.known_counts))
    decision, metrics = type(model.decision)(counts, loss), SplitMetrics(counts, model.groups)
    decision.load_state_dict(best.decision_state())
    weights, several = weights_digest(best.path), best.task.is_multilabel
    scores = SplitScores.load(scores_path(best.path), len(counts), weights, several)
    return decision, scores, tuple(metrics.tail_metrics.groups["head"])


def without_opinions(state: Mapping[str, Any]) -> dict[str, Any]:
    """The state of a decision without what its second opinions have learned, which a choice leaves as it is.

    Args:
        state: State of a `Decision`.
    """
    return {name: value for name, value in state.items() if not name.startswith("opinions.")}


def read_scores(model: DrugClassifier, checkpoint: Path) -> SplitScores:
    """Read the scores that `lightning fit` wrote beside the checkpoint of a model.

    Args:
        model: The model.
        checkpoint: Its checkpoint.

    Raises:
        InputError: If there are none, or not of the classes and the weights of the model.
    """
    assert model.task is not None
    number, weights = len(model.decision.counts), weights_digest(checkpoint)
    return SplitScores.load(scores_path(checkpoint), number, weights, model.task.is_multilabel).to(model.device)


def decision_metrics(model: DrugClassifier, scores: SplitScores) -> dict[str, float]:
    """Accuracies of the decision of a model, by name, and the mean `cost` if it has costs.

    Of several labels they are those of `LabelMetrics.of_labels`.

    Args:
        model: The model.
        scores: Scores of samples.
    """
    return _label_metrics(model, model.decision.labels(model.decision.probabilities(scores.logits)), scores)


def crossed_metrics(model: DrugClassifier, scores: SplitScores, settings: DecisionSettings) -> dict[str, float]:
    """As `decision_metrics`, of decisions that were chosen without the samples that they predict.

    Args:
        model: The model, which stays as it is.
        scores: Scores of samples that it was not trained on.
        settings: The objective.
    """
    scores = scores.in_order()
    return _label_metrics(model, crossed_labels(model, scores, settings), scores)


def crossed_labels(model: DrugClassifier, scores: SplitScores, settings: DecisionSettings) -> Tensor:
    """Labels by decisions that were chosen without the samples that they predict, int64 (N,); of several, (N, L).

    Args:
        model: The model, which stays as it is.
        scores: Scores of samples that it was not trained on.
        settings: The objective.
    """
    own = deepcopy(model)
    fold = even_folds(_shared_evenly(scores.labels, model.decision.counts), _FOLDS)
    predicted = torch.zeros_like(scores.labels)
    for number in range(_FOLDS):
        inside = fold == number
        choose_decision(own, scores.part(~inside), settings)
        predicted[inside] = own.decision.labels(own.decision.probabilities(scores.logits[inside]))
    return predicted


def _shared_evenly(labels: Tensor, counts: Tensor) -> Tensor:
    """What folds share evenly: the label, or of several the rarest that a sample has, else one more; int64 (N,)."""
    if labels.ndim == 1:
        return labels
    has = labels[:, counts.argsort(stable=True)] == 1
    return torch.cat([has, torch.ones_like(has[:, :1])], dim=1).int().argmax(dim=1)


def saved_objective(model: DrugClassifier, checkpoint: Checkpoint) -> DecisionObjective:
    """The objective that chose the decision of a checkpoint.

    Args:
        model: The model of the checkpoint.
        checkpoint: The checkpoint, whose settings are not checked yet.

    Raises:
        InputError: If its settings are not valid.
    """
    if model.decision.costs is not None:
        return CostMatrix(model.decision.costs)
    given = {"decision": checkpoint.decision or {}}
    return CheckpointCheck(checkpoint.path).make(given, "decision", DecisionSettings).make(checkpoint.task)


def _label_metrics(model: DrugClassifier, predicted: Tensor, scores: SplitScores) -> dict[str, float]:
    found, costs = model.metrics.of_labels(predicted, scores.labels), model.decision.costs
    values = {name: float(found[name]) for name in (found if scores.labels.ndim == 2 else _SHOWN)}
    if costs is not None:
        values["cost"] = float(costs.to(predicted.device)[scores.labels, predicted].mean())
    return values
