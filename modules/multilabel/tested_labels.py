"""What a model predicts for the samples that it is tested on, where a sample may have several labels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy
import polars

from datamodules.tables.label_sets import LabelSets
from modules.tested_rows import TestedRows


@dataclass(frozen=True)
class TestedLabels(TestedRows):
    """Predictions of L labels for N samples with known labels.

    Attributes:
        rows: Row of each sample in its table, from 0, int64 (N,).
        labels: 1 the sample has the label, 0 it does not, -1 not known, int64 (N, L).
        predicted: Which labels are predicted, 1 or 0, int64 (N, L).
        probability: Probability of each label before calibration, fp32 (N, L).
        calibrated: Probability of each label after calibration, fp32 (N, L).
    """

    def label_columns(self, classes: tuple[str, ...]) -> list[polars.Series]:
        """`true_labels`, `unknown_labels` and `predicted_labels`, joined by "; ", and `p/<label>`, calibrated."""
        labels, predicted = (values.numpy().astype(numpy.int8) for values in (self.labels, self.predicted))
        shares = self.calibrated.numpy()
        unknown = LabelSets(classes, (labels < 0).astype(numpy.int8)).joined()
        return [
            LabelSets(classes, labels).joined().alias("true_labels"),
            unknown.set(unknown == "none", None).alias("unknown_labels"),
            LabelSets(classes, predicted).joined().alias("predicted_labels"),
            *(polars.Series(f"p/{name}", shares[:, place]) for place, name in enumerate(classes)),
        ]
