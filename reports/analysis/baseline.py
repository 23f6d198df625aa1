"""How much better a model is than the logistic regression on the same test samples."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy
from numpy.typing import NDArray

from reports.analysis.baseline_fit import FittedBaseline
from reports.analysis.class_scores import ClassScores, recall_per_class
from reports.analysis.intervals import Estimate, accuracies, accuracy_differences


@dataclass(frozen=True)
class Baseline:
    """The logistic regression against the model, on the same test samples.

    Attributes:
        fitted: What it is fitted on and predicts.
        scores: Its recall of the classes; NaN where that of the model is.
        accuracies: Its accuracies by name, with intervals.
        differences: Accuracies of the model minus those of the logistic regression, by name, with intervals.
    """

    fitted: FittedBaseline
    scores: ClassScores
    accuracies: Mapping[str, Estimate]
    differences: Mapping[str, Estimate]


def compare_baseline(
    fitted: FittedBaseline,
    codes: NDArray[Any],
    predicted: NDArray[Any],
    scores: ClassScores,
    samples: NDArray[Any] | None = None,
) -> Baseline | None:
    """Hold the model against the logistic regression.

    Args:
        fitted: What the logistic regression predicts for the test samples.
        codes: int (n,), their class codes.
        predicted: int (n,), class codes that the model predicts.
        scores: Recall of the classes by the model; NaN where a class is left out.
        samples: int (n,), equal for rows of the same sample; each row is one if None.

    Returns:
        The comparison; None if all classes are left out.
    """
    counted = ~numpy.isnan(scores.recall)
    if not counted.any():
        return None
    recall = recall_per_class(codes, fitted.predicted, len(counted))
    recall[~counted] = numpy.nan
    return Baseline(
        fitted,
        replace(scores, recall=recall),
        accuracies(codes, fitted.predicted, counted, scores.test, scores.groups, samples),
        accuracy_differences(codes, predicted, fitted.predicted, counted, scores.test, scores.groups, samples),
    )
