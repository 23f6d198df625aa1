"""What a model says of a batch."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class Prediction(NamedTuple):
    """What is predicted for a batch.

    Attributes:
        sample_index: int64 (B,).
        probabilities: fp32 (B, C).
        calibrated: The same after temperature scaling, fp32 (B, C).
        uncertainty: 0..1, (B,); None where the loss cannot say.
        embeddings: (B, d).
    """

    sample_index: Tensor
    probabilities: Tensor
    calibrated: Tensor
    uncertainty: Tensor | None
    embeddings: Tensor
