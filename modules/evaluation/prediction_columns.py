"""Columns that predictions add to a table."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy
import polars
import torch
from numpy.typing import NDArray

from base.errors import InputError
from datamodules.prediction_rows import FeaturedChunk
from modules.evaluation.prediction import Prediction
from modules.evaluation.prediction_evidence import PredictionEvidence

Values = dict[str, NDArray[Any]]
"""Values of a batch, (B, ...) each: `rows` of the table, `labels` (-1 for none), probabilities and evidence."""

NOT_FINITE = "the model's scores of this sample are NaN or infinite"
"""The reason in rows that the model cannot classify."""


class PredictionColumns:
    """Converts predictions to columns of a table.

    The columns are `predicted_label`, `probability` and `calibrated_probability`; `p/<class>` for each class or, with
    `top`, the most probable classes as `label_1`, `probability_1` and so on; `uncertainty` if the model has one;
    `nearest_subcluster`, `central_training_drugs` and `out_of_distribution` with evidence; and `reason`.

    Attributes:
        classes: Names of the C classes.
        evidence: Evidence of the checkpoint; None without.
        top: Number of most probable classes; None for a column for each class.
    """

    def __init__(
        self, classes: tuple[str, ...], has_uncertainty: bool, evidence: PredictionEvidence | None, top: int | None
    ) -> None:
        """Create the columns for the predictions of a model.

        Args:
            classes: Names of the C classes.
            has_uncertainty: Whether predictions of the model have an uncertainty.
            evidence: Evidence of the checkpoint; None for no columns of evidence.
            top: Number of most probable classes to write; None writes a column for each class.

        Raises:
            InputError: If `top` is outside 1..C.
        """
        self.classes = classes
        if top is not None and not 1 <= top <= len(self.classes):
            raise InputError(f"top: expected 1 to {len(self.classes)}, the number of classes, got {top}.")
        self.evidence, self.top, self._has_uncertainty = evidence, top, has_uncertainty

    def move_to(self, device: torch.device) -> None:
        """Move the evidence to a device.

        Args:
            device: Device of the predictions.
        """
        if self.evidence is not None:
            self.evidence = self.evidence.to(device)

    @property
    def names(self) -> list[str]:
        """Names of the columns, in order."""
        places = range(1, (self.top or 0) + 1)
        best = [name for place in places for name in (f"label_{place}", f"probability_{place}")]
        return [
            *("predicted_label", "probability", "calibrated_probability"),
            *(best or [f"p/{name}" for name in self.classes]),
            *(["uncertainty"] if self._has_uncertainty else []),
            *(["nearest_subcluster", "central_training_drugs", "out_of_distribution"] if self.evidence else []),
            "reason",
        ]

    def check_names(self, given: Iterable[str]) -> None:
        """Check that a table has no column of the same name as one of these.

        Args:
            given: The columns of the table.

        Raises:
            InputError: If it has.
        """
        clash = sorted(set(given) & set(self.names))
        if clash:
            raise InputError(f"data.source: expected no column {clash[0]!r}, which predictions have; rename it.")

    def values(self, prediction: Prediction) -> Values:
        """Convert the predictions for a batch to arrays on the CPU.

        Args:
            prediction: Predictions for the batch.
        """
        finite = prediction.finite
        known = finite.cpu().numpy()
        probabilities, calibrated = (
            one.float().masked_fill(~finite[:, None], torch.nan).cpu().numpy()
            for one in (prediction.probabilities, prediction.calibrated)
        )
        best = prediction.labels.cpu().numpy()
        places = numpy.arange(len(best))
        values: Values = {
            "rows": prediction.sample_index.cpu().numpy(),
            "labels": numpy.where(known, best, -1),
            "probability": probabilities[places, best],
            "calibrated_probability": calibrated[places, best],
        }
        if self.top is None:
            values["probabilities"] = probabilities
        else:
            values["codes"] = numpy.argsort(-probabilities, axis=1, kind="stable")[:, : self.top]
            values["probabilities"] = numpy.take_along_axis(probabilities, values["codes"], axis=1)
        if prediction.uncertainty is not None:
            values["uncertainty"] = prediction.uncertainty.float().masked_fill(~finite, torch.nan).cpu().numpy()
        if self.evidence is not None:
            embeddings = prediction.embeddings.float().masked_fill(~finite[:, None], 0)
            values["subclusters"] = self.evidence.nearest_subclusters(embeddings).cpu().numpy()
            distant = self.evidence.out_of_distribution(embeddings).masked_fill(~finite, torch.nan)
            values["out_of_distribution"] = distant.cpu().numpy()
        return values

    def frame(self, chunk: FeaturedChunk, batches: Iterable[Values]) -> polars.DataFrame:
        """Add the columns to the rows of a chunk; they are empty, but for the reason, in rows without a prediction.

        Args:
            chunk: Rows of the table.
            batches: `values` of the batches of the chunk; those of other chunks are ignored.

        Returns:
            The rows of the chunk with the columns.
        """
        size = len(chunk.featured.reasons)
        batches = [batch for batch in batches if 0 <= int(batch["rows"][0]) - chunk.first_row < size]
        found = {name: numpy.concatenate([batch[name] for batch in batches]) for name in batches[0]} if batches else {}
        rows = found.pop("rows", numpy.zeros(0, dtype=numpy.int64)) - chunk.first_row

        def numbers(values: NDArray[Any]) -> polars.Series:
            column = numpy.full(size, numpy.nan, dtype=numpy.float32)
            column[rows] = values
            # NaN marks rows without a prediction, which are empty in the file.
            return polars.Series(column).fill_nan(None)

        def names(known: list[str] | tuple[str, ...], codes: NDArray[Any]) -> polars.Series:
            column = numpy.full(size, len(known))
            column[rows] = numpy.where(found["labels"] < 0, len(known), codes) if found else codes
            return polars.Series([*known, None], dtype=polars.String).gather(column)

        nothing = numpy.zeros(0)
        width = self.top or len(self.classes)
        shares = found.get("probabilities", numpy.zeros((0, width)))
        columns = [
            names(self.classes, found.get("labels", nothing)),
            *(numbers(found.get(name, nothing)) for name in ("probability", "calibrated_probability")),
        ]
        if self.top is None:
            columns += [numbers(shares[:, code]) for code in range(width)]
        else:
            codes = found.get("codes", shares)
            for place in range(width):
                columns += [names(self.classes, codes[:, place]), numbers(shares[:, place])]
        if self._has_uncertainty:
            columns.append(numbers(found.get("uncertainty", nothing)))
        if self.evidence is not None:
            nearest = found.get("subclusters", nothing)
            columns += [names(self.evidence.names, nearest), names(self.evidence.drugs, nearest)]
            columns.append(numbers(found.get("out_of_distribution", nothing)))
        broken = rows[found["labels"] < 0] if found else nothing.astype(numpy.int64)
        columns.append(chunk.featured.reasons.scatter(broken, NOT_FINITE) if len(broken) else chunk.featured.reasons)
        given = chunk.featured.table.frame
        return given.with_columns(*(column.alias(name) for name, column in zip(self.names, columns, strict=True)))
