"""What a model predicts for the samples that it is tested on, where a sample may have several labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy
import polars
import torch
from torch import Tensor

from datamodules.drug_datamodule import DrugDataModule
from datamodules.tables.label_sets import LabelSets
from modules.decision import Decision
from modules.evaluation.split_scores import SplitScores
from modules.processes import gather_rows
from modules.tested_predictions import SplitKind, TestedPredictions, sample_columns, split_columns


@dataclass(frozen=True)
class TestedLabels:
    """Predictions of L labels for N samples with known labels.

    Attributes:
        rows: Row of each sample in its table, from 0, int64 (N,).
        labels: 1 the sample has the label, 0 it does not, -1 not known, int64 (N, L).
        predicted: Which labels are predicted, 1 or 0, int64 (N, L).
        probability: Probability of each label before calibration, fp32 (N, L).
        calibrated: Probability of each label after calibration, fp32 (N, L).
    """

    # Pytest would take it for a class of tests.
    __test__ = False

    rows: Tensor
    labels: Tensor
    predicted: Tensor
    probability: Tensor
    calibrated: Tensor

    @classmethod
    @torch.no_grad()
    def by(cls, decision: Decision, scores: SplitScores) -> TestedLabels:
        """Predict samples from their scores.

        Args:
            decision: The decision, which is moved to the device of the scores.
            scores: Scores of the samples.
        """
        decision.to(scores.logits.device)
        probabilities = decision.probabilities(scores.logits)
        calibrated = decision.calibrated(scores.logits)
        return cls(scores.rows, scores.labels, decision.labels(probabilities), probabilities, calibrated)

    def of_all_processes(self) -> TestedLabels:
        """The predictions of all processes; must be called on all of them."""
        return TestedLabels(*(gather_rows(getattr(self, one.name)) for one in fields(self)))

    def frame(self, data: DrugDataModule, split: SplitKind) -> polars.DataFrame:
        """The predictions as a table in the order of the rows.

        Args:
            data: The data module of the samples, after `setup`.
            split: As of `TestedPredictions.frame`.

        Returns:
            The columns `row`, `id` and those of SMILES as of `TestedPredictions.frame`; `true_labels`, `unknown_labels`
            and `predicted_labels`, joined by "; "; `p/<label>`, the calibrated probability of each label; and `split`
            and `fold`.
        """
        order = self.rows.argsort(stable=True)
        rows, labels, predicted, _, shares = (getattr(self, one.name)[order].cpu().numpy() for one in fields(self))
        names = data.task.classes
        unknown = LabelSets(names, numpy.where(labels < 0, 1, 0).astype(numpy.int8)).joined()
        return polars.DataFrame(
            [
                *sample_columns(data, rows),
                LabelSets(names, labels.astype(numpy.int8)).joined().alias("true_labels"),
                unknown.set(unknown == "none", None).alias("unknown_labels"),
                LabelSets(names, predicted.astype(numpy.int8)).joined().alias("predicted_labels"),
                *(polars.Series(f"p/{name}", shares[:, place]) for place, name in enumerate(names)),
                *split_columns(data, rows, split),
            ]
        )


def tested_samples(decision: Decision, scores: SplitScores) -> TestedPredictions | TestedLabels:
    """Predict samples from their scores, with a single label or with several.

    Args:
        decision: The decision.
        scores: Scores of the samples.
    """
    kind = TestedPredictions if scores.labels.ndim == 1 else TestedLabels
    return kind.by(decision, scores)


def joined_samples(decisions: Sequence[Decision], parts: Sequence[SplitScores]) -> TestedPredictions | TestedLabels:
    """The predictions of several sets of samples as one, each by a decision of its own.

    Args:
        decisions: The decision of each set.
        parts: The scores of each set, one or more.
    """
    several = [tested_samples(decision, own) for decision, own in zip(decisions, parts, strict=True)]
    names = [one.name for one in fields(several[0])]
    return type(several[0])(*(torch.cat([getattr(one, name) for one in several]) for name in names))
