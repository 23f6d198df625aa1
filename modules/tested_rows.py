"""What a model predicts for the samples that it is tested on, with one label each or several, as a table."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal, Self

import polars
import torch
from numpy.typing import NDArray
from torch import Tensor

from datamodules.drug_datamodule import DrugDataModule
from modules.decision import Decision
from modules.evaluation.split_scores import SplitScores
from modules.processes import gather_rows

SplitKind = Literal["test", "out-of-fold"]


@dataclass(frozen=True)
class TestedRows(ABC):
    """Predictions for N samples with known labels; the kind of labels gives the shapes.

    Attributes:
        rows: Row of each sample in its table, from 0, int64 (N,).
        labels: Labels.
        predicted: Predicted labels.
        probability: Probabilities before calibration.
        calibrated: Probabilities after calibration.
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
    def by(cls, decision: Decision, scores: SplitScores) -> Self:
        """Predict samples from their scores.

        Args:
            decision: The decision, which is moved to the device of the scores.
            scores: Scores of the samples.
        """
        decision.to(scores.logits.device)
        probabilities = decision.probabilities(scores.logits)
        predicted, calibrated = decision.labels(probabilities), decision.calibrated(scores.logits)
        return cls(scores.rows, scores.labels, predicted, probabilities, calibrated)

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """Several sets of samples as one.

        Args:
            parts: The sets, one or more.
        """
        return cls(*(torch.cat([getattr(part, one.name) for part in parts]) for one in fields(cls)))

    def of_all_processes(self) -> Self:
        """The predictions of all processes; must be called on all of them."""
        return type(self)(*(gather_rows(getattr(self, one.name)) for one in fields(self)))

    def frame(self, data: DrugDataModule, split: SplitKind) -> polars.DataFrame:
        """The predictions as a table in the order of the rows.

        Args:
            data: The data module of the samples, after `setup`.
            split: Whether no model was trained on the samples, or the members of an ensemble but one were.

        Returns:
            The columns `row` (from 1), `id` if the table has one, `smiles` (`smiles_1` and `smiles_2` where a sample
            has two; none for arrays), those of `label_columns`, `split` and, with folds, `fold` (from 0; null for a row
            of no fold).
        """
        order = self.rows.argsort(stable=True)
        ordered = type(self)(*(getattr(self, one.name)[order].cpu() for one in fields(self)))
        rows, own = ordered.rows.numpy(), ordered.label_columns(data.task.classes)
        return polars.DataFrame([*_sample_columns(data, rows), *own, *_split_columns(data, rows, split)])

    @abstractmethod
    def label_columns(self, classes: tuple[str, ...]) -> list[polars.Series]:
        """True and predicted labels and their probabilities as columns, of samples on the CPU.

        Args:
            classes: The labels, in the order of their codes.
        """


def _sample_columns(data: DrugDataModule, rows: NDArray[Any]) -> list[polars.Series]:
    """Which samples the rows of a table, (n,), are: their numbers, ids and SMILES."""
    table = data.table.table
    columns = [polars.Series("row", rows + 1)]
    if table.columns.id is not None:
        columns.append(table.frame[table.columns.id].gather(rows).alias("id"))
    given = table.columns.smiles
    for number, name in enumerate(given, start=1):
        columns.append(table.frame[name].gather(rows).alias("smiles" if len(given) == 1 else f"smiles_{number}"))
    return columns


def _split_columns(data: DrugDataModule, rows: NDArray[Any], split: SplitKind) -> list[polars.Series]:
    """Split and, with folds, fold of the rows of a table, (n,)."""
    columns = [polars.repeat(split, len(rows), eager=True).alias("split")]
    if data.records.folds is not None:
        columns.append(polars.Series("fold", data.records.folds[rows]).replace(-1, None))
    return columns
