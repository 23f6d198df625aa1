"""Columns of prediction sets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy
import polars
from numpy.typing import NDArray

from modules.evaluation.prediction import Prediction, Values
from modules.evaluation.threshold_sets import ThresholdSets

SET_NAMES = ("set", "set_size")
"""The columns: the labels of each set, joined by a semicolon, the most probable first, and their number."""


def set_values(sets: ThresholdSets, prediction: Prediction, names: Sequence[str]) -> Values:
    """The sets of a batch, as text and as size, on the CPU.

    Args:
        sets: The prediction sets.
        prediction: Predictions for the batch.
        names: Names of the C labels.
    """
    codes = sets.codes(prediction.logits)
    texts = ["; ".join(names[code] for code in own) for own in codes]
    return {"set": numpy.array(texts, dtype=object), "set_size": numpy.array([len(own) for own in codes])}


def set_columns(size: int, rows: NDArray[Any], found: Values, known: NDArray[Any]) -> list[polars.Series]:
    """The columns, empty in rows without a prediction.

    Args:
        size: Number of rows.
        rows: The rows that `found` is of, int64 (n,).
        found: Values of `set_values`; none without rows.
        known: Which of the rows have a prediction, bool (n,).
    """
    columns = []
    for name, kind in zip(SET_NAMES, (polars.String, polars.Int64), strict=True):
        column: list[Any] = [None] * size
        for row, value in zip(rows[known].tolist(), found.get(name, numpy.zeros(0))[known].tolist(), strict=True):
            column[row] = value
        columns.append(polars.Series(column, dtype=kind))
    return columns
