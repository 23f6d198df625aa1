"""Columns of the evidence of predictions: the nearest training samples, and the applicability."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy
import polars
from numpy.typing import NDArray

from datamodules.batch import Batch
from datamodules.drug_task import DrugTask
from datamodules.tables.label_sets import LabelSets
from modules.evaluation.applicability import ASKED, LEVELS, Signals, level_of
from modules.evaluation.prediction import Prediction, Values
from modules.evaluation.prediction_evidence import PredictionEvidence
from modules.neighbors.training_samples import Neighbors, TrainingSamples
from modules.sample_fingerprints import bits_width, sample_bits

NEIGHBORS = 3
"""Number of nearest training samples by default."""


class EvidenceColumns:
    """Converts the evidence of predictions to columns of a table.

    The columns are `nearest_1`, `nearest_1_label` (`nearest_1_labels`, joined by "; ", where a sample may have
    several), `nearest_1_tanimoto`, `nearest_1_cosine` and so on of the nearest training samples, `applicability` and
    `applicability_level`.

    Attributes:
        evidence: Evidence of the checkpoint.
        neighbors: Number of nearest training samples.
    """

    def __init__(self, task: DrugTask, evidence: PredictionEvidence, neighbors: int = NEIGHBORS) -> None:
        """Create the columns for the predictions of a model.

        Args:
            task: Description of the data of the model.
            evidence: Evidence of the checkpoint.
            neighbors: Number of nearest training samples to write.

        Raises:
            InputError: If the evidence has other classes or fingerprints.
        """
        evidence.samples.check(task)
        self._task, self.evidence, self.neighbors = task, evidence, neighbors

    @property
    def samples(self) -> TrainingSamples:
        """The training samples."""
        return self.evidence.samples

    @property
    def names(self) -> list[str]:
        """Names of the columns, in order."""
        label = "_labels" if self._task.is_multilabel else "_label"
        kinds = ["", label, *(f"_{kind}" for kind in self._similarities)]
        near = [f"nearest_{place}{kind}" for place in range(1, self.neighbors + 1) for kind in kinds]
        return [*near, "applicability", "applicability_level"]

    @property
    def _similarities(self) -> list[str]:
        return ["tanimoto", "cosine"] if bits_width(self._task) else ["cosine"]

    def values(self, batch: Batch, prediction: Prediction, signals_of: Callable[[Neighbors], Signals]) -> Values:
        """The nearest training samples, -1 and NaN where there are fewer or no prediction, and the applicability.

        Args:
            batch: The batch.
            prediction: Predictions for the batch.
            signals_of: Finds the signals of the predictions from their nearest training samples.
        """
        known = prediction.finite.cpu().numpy()
        embeddings = prediction.embeddings.float().masked_fill(~prediction.finite[:, None], 0)
        bits = None if self.samples.bits is None else sample_bits(batch, self._task)
        places, near = self.samples.nearest(embeddings, bits, max(self.neighbors, ASKED))
        estimate = self.evidence.applicability.estimate(signals_of(near))
        values: Values = {"applicability": numpy.where(known, estimate, numpy.nan)}
        for name, of_each in (("places", places), ("tanimoto", near.tanimoto), ("cosine", near.cosine)):
            nothing = -1 if name == "places" else numpy.nan
            values[name] = numpy.full((len(known), self.neighbors), nothing, dtype=of_each.dtype)
            values[name][known, : of_each.shape[1]] = of_each[known, : self.neighbors]
        return values

    def columns(self, size: int, rows: NDArray[Any], found: Values) -> list[polars.Series]:
        """The columns for the rows of a chunk, in the order of their names; null in rows without a prediction.

        Args:
            size: Number of rows of the chunk.
            rows: Rows with values, counted from the first one of the chunk, int64 (n,).
            found: `values` of these rows; may be empty if there are none.
        """
        places = numpy.full((size, self.neighbors), -1)
        places[rows] = found.get("places", numpy.zeros((0, self.neighbors), dtype=numpy.int64))

        def numbers(values: NDArray[Any]) -> polars.Series:
            column = numpy.full(size, numpy.nan, dtype=numpy.float32)
            column[rows] = values
            return polars.Series(column).fill_nan(None)

        names, columns = polars.Series([*self.samples.names, None], dtype=polars.String), []
        for place, own in enumerate(places.T):
            columns += [names.gather(numpy.where(own < 0, len(self.samples.names), own)), self._labels(own)]
            for kind in self._similarities:
                columns.append(numbers(found[kind][:, place] if found else numpy.zeros(0)))
        estimate = numpy.full(size, numpy.nan)
        estimate[rows] = found.get("applicability", numpy.zeros(0))
        level = numpy.where(numpy.isnan(estimate), len(LEVELS), level_of(estimate))
        return [*columns, numbers(estimate[rows]), polars.Series([*LEVELS, None], dtype=polars.String).gather(level)]

    def _labels(self, places: NDArray[Any]) -> polars.Series:
        """The labels of training samples, null for the place -1."""
        none, codes = places < 0, self.samples.codes[places]
        if self._task.is_multilabel:
            return LabelSets(self._task.classes, numpy.where(none[:, None], -1, codes)).joined()
        names = polars.Series([*self._task.classes, None], dtype=polars.String)
        return names.gather(numpy.where(none, len(self._task.classes), codes))
