"""What a model predicts for the samples that it is tested on, where a sample has one label."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import polars

from modules.decision import Decision
from modules.evaluation.split_scores import SplitScores
from modules.multilabel.tested_labels import TestedLabels
from modules.tested_rows import TestedRows


@dataclass(frozen=True)
class TestedPredictions(TestedRows):
    """Predictions for N samples with a known label each.

    Attributes:
        rows: Row of each sample in its table, from 0, int64 (N,).
        labels: Labels, int64 (N,).
        predicted: Predicted labels, int64 (N,).
        probability: Probability of the predicted label before calibration, fp32 (N,).
        calibrated: Probability of the predicted label after calibration, fp32 (N,).
    """

    @classmethod
    def by(cls, decision: Decision, scores: SplitScores) -> Self:
        """See `TestedRows.by`."""
        found = super().by(decision, scores)
        place = found.predicted[:, None]
        probability, calibrated = (values.gather(1, place)[:, 0] for values in (found.probability, found.calibrated))
        return replace(found, probability=probability, calibrated=calibrated)

    def label_columns(self, classes: tuple[str, ...]) -> list[polars.Series]:
        """The columns `true_label`, `predicted_label`, `probability` and `calibrated_probability`."""
        names = polars.Series(classes, dtype=polars.String)
        return [
            names.gather(self.labels.numpy()).alias("true_label"),
            names.gather(self.predicted.numpy()).alias("predicted_label"),
            polars.Series("probability", self.probability.numpy()),
            polars.Series("calibrated_probability", self.calibrated.numpy()),
        ]


def tested_samples(decision: Decision, scores: SplitScores) -> TestedRows:
    """Predict samples from their scores, with a single label or with several.

    Args:
        decision: The decision.
        scores: Scores of the samples.
    """
    return _kind(scores).by(decision, scores)


def joined_samples(decisions: Sequence[Decision], parts: Sequence[SplitScores]) -> TestedRows:
    """The predictions of several sets of samples as one, each by a decision of its own.

    Args:
        decisions: The decision of each set.
        parts: The scores of each set, one or more.
    """
    kind = _kind(parts[0])
    return kind.joined([kind.by(decision, own) for decision, own in zip(decisions, parts, strict=True)])


def _kind(scores: SplitScores) -> type[TestedRows]:
    return TestedPredictions if scores.labels.ndim == 1 else TestedLabels
