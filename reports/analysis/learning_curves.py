"""How loss and validation metrics of a run developed, from its `metrics.csv`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy
import polars
from numpy.typing import NDArray

LOSS = "train/loss"
ACCURACIES = tuple(f"val/{name}_accuracy" for name in ("balanced", "head", "middle", "tail"))
PRECISIONS = ("val/average_precision", *(f"val/{name}_average_precision" for name in ("head", "middle", "tail")))
"""Of runs whose samples may have several labels."""
_POINTS = 500
"""Largest number of epochs of a curve; more are thinned out evenly."""


@dataclass(frozen=True)
class LearningCurve:
    """The curves of one training.

    Attributes:
        values: By name of the metric, the epochs in which it was logged, int64 (E,), and its values, float64 (E,).
        kept: Epoch of the checkpoint that was kept; None if unknown.
    """

    values: Mapping[str, tuple[NDArray[Any], NDArray[Any]]]
    kept: int | None

    def at_kept(self, name: str) -> float | None:
        """The value of a metric in the kept epoch; None if it was not logged there."""
        epochs, values = self.values.get(name, (numpy.zeros(0, dtype=int), numpy.zeros(0)))
        found = values[epochs == self.kept]
        return float(found[-1]) if len(found) else None


def read_curve(path: Path, kept: int | None) -> LearningCurve | None:
    """Read the curves.

    Args:
        path: The file `metrics.csv`.
        kept: Epoch of the checkpoint that was kept, whose point is never thinned out.

    Returns:
        The curves; None without the file, or if it has fewer than two epochs of all of them.
    """
    if not path.is_file():
        return None
    frame = polars.read_csv(path, infer_schema_length=None)
    values = {}
    for name in (LOSS, *ACCURACIES, *PRECISIONS):
        if name not in frame.columns:
            continue
        # A resumed run logs the epoch again in which it was cut off.
        known = frame.select("epoch", polars.col(name).cast(polars.Float64)).drop_nulls().unique("epoch", keep="last")
        epochs, of_epochs = (known.sort("epoch")[column].to_numpy() for column in ("epoch", name))
        evenly = numpy.linspace(0, len(epochs) - 1, min(_POINTS, len(epochs))).round().astype(int)
        places = numpy.union1d(evenly, numpy.flatnonzero(epochs == kept))
        values[name] = (epochs[places], of_epochs[places])
    if max((len(epochs) for epochs, _ in values.values()), default=0) < 2:
        return None
    return LearningCurve(values, kept)
