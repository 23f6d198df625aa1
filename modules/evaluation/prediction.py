"""The prediction of a model for a batch."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class Prediction(NamedTuple):
    """The prediction for a batch of B samples.

    Attributes:
        sample_index: int64 (B,), see `Batch`.
        probabilities: float32 (B, C).
        calibrated: Probabilities after temperature scaling, float32 (B, C).
        uncertainty: (B,) in 0..1; None if the loss does not give any.
        embeddings: (B, d).
    """

    sample_index: Tensor
    probabilities: Tensor
    calibrated: Tensor
    uncertainty: Tensor | None
    embeddings: Tensor
