"""How head, tail and balanced accuracy of a model change with its decision."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from itertools import compress
from pathlib import Path
from typing import TYPE_CHECKING

from base.errors import InputError
from modules.decisions.settings import DecisionSettings, ObjectiveName

if TYPE_CHECKING:
    from torch import Tensor

    from modules.decisions.confusions import Confusions
    from modules.decisions.samples import DecisionSamples
    from modules.drug_classifier import DrugClassifier
    from modules.evaluation.split_scores import SplitScores

_log = logging.getLogger("tailmol")

OBJECTIVES: tuple[ObjectiveName, ...] = ("balanced_accuracy", "accuracy", "macro_f1", "head_kept")
"""Objectives without options of their own, whose decisions are shown."""

_LOWEST, _HIGHEST = -0.5, 1.5
"""Range of the strengths of the prior that are shown; beyond it, both head and tail lose on most data."""


@dataclass(frozen=True)
class DecisionPoint:
    """Accuracies of a decision; NaN if no class of the group has samples.

    Attributes:
        name: `current`, `at_prior` for the prior of the training samples, the strength of the prior, or an objective.
        head: Mean recall of the head classes.
        tail: Mean recall of the tail classes.
        balanced: Mean recall of all classes.
    """

    name: str
    head: float
    tail: float
    balanced: float


@dataclass(frozen=True)
class DecisionCurve:
    """Accuracies of decisions on test samples.

    Attributes:
        strengths: A point for each strength of the prior, from a uniform prior to that of the training samples and
            beyond on both sides.
        points: The decision of the checkpoint, that at the training prior, and those of objectives, which were chosen
            on the scores beside the checkpoint; of out-of-fold samples, each without those that it predicts.
        objective: Objective of the decision of the checkpoint.
    """

    strengths: tuple[DecisionPoint, ...]
    points: tuple[DecisionPoint, ...]
    objective: str = "as_trained"


def decision_curve(
    model: DrugClassifier, test: SplitScores, predicted: Tensor, checkpoint: Path, objective: str = "as_trained"
) -> DecisionCurve | None:
    """Compute the curve of a model.

    Args:
        model: The model.
        test: Scores of test samples.
        predicted: Labels that the model was tested with on these samples, int64 (N,); of out-of-fold samples, those by
            decisions that they have not chosen.
        checkpoint: Its checkpoint; without scores beside it, there are no points of objectives.
        objective: Objective of the decision of the checkpoint.

    Returns:
        The curve; None if there are no test samples of classes with training samples.
    """
    from modules.decision_choice import read_scores

    decision, groups = model.decision, model.metrics.tail_metrics.groups
    samples = decision.samples(test, groups["head"])
    if not len(samples.labels):
        return None
    order = test.rows.argsort(stable=True)
    order = order[decision.counts[test.labels[order]] > 0]
    known, labels = test.part(order), {"current": predicted[order], "at_prior": samples.at_prior}
    try:
        scores = read_scores(model, checkpoint)
    except InputError as error:
        _log.warning(f"The report shows no other objectives. {error}")
    else:
        for name in OBJECTIVES:
            labels[name] = _labels(model, known, scores, DecisionSettings(name))
    tail = tuple(groups["tail"])
    strengths = [f"{strength:g}" for strength in samples.strengths]
    shown = [_LOWEST <= strength <= _HIGHEST for strength in samples.strengths]
    line = tuple(compress(_points(strengths, samples, samples.by_strength.total(), tail), shown))
    points = _points(list(labels), samples, samples.confusions(list(labels.values())).total(), tail)
    return DecisionCurve(line, points, objective)


def _labels(model: DrugClassifier, test: SplitScores, scores: SplitScores, settings: DecisionSettings) -> Tensor:
    """Labels of test samples by an objective that is chosen on other samples."""
    import torch

    from modules.decision_choice import choose_decision, crossed_labels

    scores = scores.in_order()
    if bool(torch.isin(test.rows, scores.rows).all()):
        # The samples of all folds of an ensemble.
        return crossed_labels(model, scores, settings)[torch.searchsorted(scores.rows, test.rows)]
    other = deepcopy(model)
    choose_decision(other, scores, settings)
    return other.decision.labels(other.decision.probabilities(test.logits))


def _points(
    names: Sequence[str], samples: DecisionSamples, counts: Confusions, tail: tuple[int, ...]
) -> tuple[DecisionPoint, ...]:
    from modules.decisions.confusions import balanced_accuracy, group_accuracy

    def known(group: tuple[int, ...]) -> list[float]:
        present = bool(counts.support[..., group].any())
        values: list[float] = group_accuracy(counts, group).tolist()
        return values if present else [math.nan] * len(values)

    rows = zip(names, known(samples.head), known(tail), balanced_accuracy(counts).tolist(), strict=True)
    return tuple(DecisionPoint(*row) for row in rows)
