"""Predictions of a model."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from numpy.typing import NDArray
from torch import Tensor

Values = dict[str, NDArray[Any]]
"""Values of a batch, (B, ...) each: `rows` of the table, `labels` (-1 for none), probabilities and evidence."""


class Prediction(NamedTuple):
    """Predictions for a batch of B samples.

    Attributes:
        sample_index: Index of each sample, int64 (B,); see `Batch`.
        probabilities: Class probabilities, float32 (B, C).
        calibrated: Class probabilities after temperature scaling, float32 (B, C).
        uncertainty: Uncertainty of each prediction, (B,) in 0..1; None if the loss does not define one.
        embeddings: Embeddings, (B, d).
        logits: Logits of the head with the second opinions, before any correction, (B, C).
        labels: Predicted labels, int64 (B,).
        at_prior: Labels predicted without that opinion at the training prior, int64 (B,); see `SplitScores`.
    """

    sample_index: Tensor
    probabilities: Tensor
    calibrated: Tensor
    uncertainty: Tensor | None
    embeddings: Tensor
    logits: Tensor
    labels: Tensor
    at_prior: Tensor

    @property
    def finite(self) -> Tensor:
        """Whether all values of each sample are finite, bool (B,)."""
        values = [self.probabilities, self.calibrated, self.embeddings]
        if self.uncertainty is not None:
            values.append(self.uncertainty.unsqueeze(1))
        return torch.cat(values, dim=1).isfinite().all(dim=1)
