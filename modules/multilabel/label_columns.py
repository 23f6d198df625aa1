"""Columns that predictions of several labels add to a table."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

import numpy
import polars
import torch

from base.errors import InputError
from datamodules.batch import Batch
from datamodules.drug_task import DrugTask
from datamodules.prediction_rows import FeaturedChunk
from datamodules.tables.label_sets import LabelSets
from modules.evaluation.evidence_columns import NEIGHBORS, EvidenceColumns
from modules.evaluation.prediction import Prediction, Values
from modules.evaluation.prediction_columns import NOT_FINITE, check_free, values_of_chunk
from modules.evaluation.prediction_evidence import PredictionEvidence
from modules.evaluation.set_columns import SET_NAMES, set_columns, set_values
from modules.evaluation.threshold_sets import ThresholdSets
from modules.multilabel.label_evidence import label_signals


class LabelColumns:
    """Converts predictions to columns of a table.

    The columns are `predicted_labels`, joined by "; " and "none" without one; `p/<label>`, the calibrated probability
    of each label, or with `top` the most probable labels as `label_1`, `probability_1` and so on; with prediction sets,
    `set`, the labels joined by a semicolon, and `set_size`; with evidence those of `EvidenceColumns`; and `reason`.

    Attributes:
        labels: Names of the L labels.
        evidence: Columns of evidence; None without.
        top: Number of most probable labels; None for a column for each label.
        sets: Prediction sets; None without.
    """

    def __init__(
        self,
        task: DrugTask,
        evidence: PredictionEvidence | None = None,
        top: int | None = None,
        neighbors: int = NEIGHBORS,
        sets: ThresholdSets | None = None,
    ) -> None:
        """Create the columns for the predictions of a model.

        Args:
            task: Description of the data of the model.
            evidence: Evidence of the checkpoint; None for no columns of evidence.
            top: Number of most probable labels to write; None writes a column for each label.
            neighbors: Number of nearest training samples to write.
            sets: Prediction sets of the model; None for no columns of sets.

        Raises:
            InputError: If `top` is outside 1..L, or the evidence has other labels or fingerprints.
        """
        if top is not None and not 1 <= top <= task.num_classes:
            raise InputError(f"top: expected 1 to {task.num_classes}, the number of labels, got {top}.")
        self.labels, self.top, self.sets = task.classes, top, sets
        self.evidence = None if evidence is None else EvidenceColumns(task, evidence, neighbors)

    @property
    def names(self) -> list[str]:
        """Names of the columns, in order."""
        best = [name for place in range(1, (self.top or 0) + 1) for name in (f"label_{place}", f"probability_{place}")]
        return [
            "predicted_labels",
            *(best or [f"p/{name}" for name in self.labels]),
            *(SET_NAMES if self.sets else []),
            *(self.evidence.names if self.evidence else []),
            "reason",
        ]

    def check_names(self, given: Iterable[str]) -> None:
        """See `PredictionColumns.check_names`."""
        check_free(given, self.names)

    def values(self, batch: Batch, prediction: Prediction) -> Values:
        """Convert the predictions for a batch to arrays on the CPU.

        Args:
            batch: The batch.
            prediction: Predictions for the batch.
        """
        finite = prediction.finite
        shares = prediction.calibrated.float().masked_fill(~finite[:, None], torch.nan)
        values: Values = {
            "rows": prediction.sample_index.cpu().numpy(),
            "labels": prediction.labels.masked_fill(~finite[:, None], -1).cpu().numpy(),
            "probabilities": shares.cpu().numpy(),
        }
        if self.sets is not None:
            values |= set_values(self.sets, prediction, self.labels)
        if self.evidence is not None:
            given = numpy.nan_to_num(values["probabilities"]), values["labels"]
            found = partial(label_signals, *given, by_tanimoto=self.evidence.samples.by_tanimoto)
            values |= self.evidence.values(batch, prediction, found)
        return values

    def frame(self, chunk: FeaturedChunk, batches: Iterable[Values]) -> polars.DataFrame:
        """Add the columns to the rows of a chunk; they are empty, but for the reason, in rows without a prediction.

        Args:
            chunk: Rows of the table.
            batches: `values` of the batches of the chunk; those of other chunks are ignored.
        """
        size, width = len(chunk.featured.reasons), len(self.labels)
        found = values_of_chunk(chunk, batches)
        labels = numpy.full((size, width), -1, dtype=numpy.int8)
        shares = numpy.full((size, width), numpy.nan, dtype=numpy.float32)
        reasons, rows = chunk.featured.reasons, found.pop("rows", numpy.zeros(0, dtype=numpy.int64))
        if found:
            labels[rows], shares[rows] = found["labels"], found["probabilities"]
            broken = rows[(found["labels"] < 0).all(axis=1)]
            reasons = reasons.scatter(broken, NOT_FINITE) if len(broken) else reasons
        columns = [LabelSets(self.labels, labels).joined()]
        if self.top is None:
            columns += [polars.Series(shares[:, place]).fill_nan(None) for place in range(width)]
        else:
            order = numpy.argsort(-shares, axis=1, kind="stable")[:, : self.top]
            known = ~numpy.isnan(shares[:, 0])
            names = polars.Series([*self.labels, None], dtype=polars.String)
            for place in range(self.top):
                own = order[:, place]
                best = polars.Series(shares[numpy.arange(size), own]).fill_nan(None)
                columns += [names.gather(numpy.where(known, own, width)), best]
        if self.sets is not None:
            columns += set_columns(size, rows, found, labels[rows, 0] >= 0)
        if self.evidence is not None:
            columns += self.evidence.columns(size, rows, found)
        named = zip(self.names, [*columns, reasons], strict=True)
        return chunk.featured.table.frame.with_columns(*(column.alias(name) for name, column in named))
