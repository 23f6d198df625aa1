"""What a model predicts for the samples that it is tested on, as a table."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Literal

import polars
import torch
from numpy.typing import NDArray
from torch import Tensor

from datamodules.drug_datamodule import DrugDataModule
from modules.decision import Decision
from modules.evaluation.split_scores import SplitScores
from modules.processes import gather_rows

SplitKind = Literal["test", "out-of-fold"]

TEST_PREDICTIONS = "test_predictions.csv"
"""File in the folder of a run with the samples that `test_metrics.json` is about."""

OUT_OF_FOLD_PREDICTIONS = "out_of_fold_predictions.csv"
"""File in the folder of an ensemble whose test samples are in no fold, with the samples of the folds."""


@dataclass(frozen=True)
class TestedPredictions:
    """Predictions for N samples with known labels.

    Attributes:
        rows: Row of each sample in its table, from 0, int64 (N,).
        labels: Labels, int64 (N,).
        predicted: Predicted labels, int64 (N,).
        probability: Probability of the predicted label before calibration, fp32 (N,).
        calibrated: Probability of the predicted label after calibration, fp32 (N,).
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
    def by(cls, decision: Decision, scores: SplitScores) -> TestedPredictions:
        """Predict samples from their scores.

        Args:
            decision: The decision, which is moved to the device of the scores.
            scores: Scores of the samples.
        """
        decision.to(scores.logits.device)
        probabilities = decision.probabilities(scores.logits)
        predicted = decision.labels(probabilities)
        of_label = [
            values.gather(1, predicted[:, None])[:, 0]
            for values in (probabilities, decision.calibration(probabilities))
        ]
        return cls(scores.rows, scores.labels, predicted, *of_label)

    def of_all_processes(self) -> TestedPredictions:
        """The predictions of all processes; must be called on all of them."""
        return TestedPredictions(*(gather_rows(getattr(self, one.name)) for one in fields(self)))

    def frame(self, data: DrugDataModule, split: SplitKind) -> polars.DataFrame:
        """The predictions as a table in the order of the rows.

        Args:
            data: The data module of the samples, after `setup`.
            split: Whether no model was trained on the samples, or the members of an ensemble but one were.

        Returns:
            The columns `row` (from 1), `id` if the table has one, `smiles` (`smiles_1` and `smiles_2` where a sample
            has two; none for arrays), `true_label`, `predicted_label`, `probability`, `calibrated_probability`,
            `split` and, with folds, `fold` (from 0; null for a row of no fold).
        """
        order = self.rows.argsort(stable=True)
        sorted_ = {one.name: getattr(self, one.name)[order].cpu().numpy() for one in fields(self)}
        rows, names = sorted_["rows"], polars.Series(data.task.classes, dtype=polars.String)
        columns = [
            *sample_columns(data, rows),
            names.gather(sorted_["labels"]).alias("true_label"),
            names.gather(sorted_["predicted"]).alias("predicted_label"),
            polars.Series("probability", sorted_["probability"]),
            polars.Series("calibrated_probability", sorted_["calibrated"]),
            *split_columns(data, rows, split),
        ]
        return polars.DataFrame(columns)


def sample_columns(data: DrugDataModule, rows: NDArray[Any]) -> list[polars.Series]:
    """Which samples the rows of a table are: `row` (from 1), `id` if the table has one, and their SMILES.

    Args:
        data: The data module of the samples, after `setup`.
        rows: The rows, (n,).
    """
    table = data.table.table
    columns = [polars.Series("row", rows + 1)]
    if table.columns.id is not None:
        columns.append(table.frame[table.columns.id].gather(rows).alias("id"))
    given = table.columns.smiles
    for number, name in enumerate(given, start=1):
        columns.append(table.frame[name].gather(rows).alias("smiles" if len(given) == 1 else f"smiles_{number}"))
    return columns


def split_columns(data: DrugDataModule, rows: NDArray[Any], split: SplitKind) -> list[polars.Series]:
    """`split` and, with folds, `fold` (from 0; null for a row of no fold) of the rows of a table.

    Args:
        data: The data module of the samples, after `setup`.
        rows: The rows, (n,).
        split: As of `TestedPredictions.frame`.
    """
    columns = [polars.repeat(split, len(rows), eager=True).alias("split")]
    if data.records.folds is not None:
        columns.append(polars.Series("fold", data.records.folds[rows]).replace(-1, None))
    return columns
