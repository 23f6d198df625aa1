"""The precision of products of float32 matrices on a GPU."""

from __future__ import annotations

import logging
from typing import Literal

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

_log = logging.getLogger("tailmol")

Precision = Literal["highest", "high", "medium"]
"""A precision that `torch.set_float32_matmul_precision` takes."""


class MatmulPrecision(Callback):
    """Sets the precision of products of float32 matrices on a CUDA device while the trainer runs.

    With `high`, the default, these products round their inputs to TF32 (10 bits of the fraction, sums in float32), on
    devices that have it. Other devices keep their precision.
    """

    def __init__(self, precision: Precision | None = None) -> None:
        """Create the callback.

        Args:
            precision: The precision; null is `high`.
        """
        self.precision: Precision = precision or "high"
        self._before: str | None = None
        self._said = False

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Set the precision."""
        if trainer.strategy.root_device.type != "cuda":
            return
        self._before = self._before or torch.get_float32_matmul_precision()
        torch.set_float32_matmul_precision(self.precision)
        if trainer.is_global_zero and not self._said:
            self._said = True
            _log.info(f"Products of float32 matrices on the GPU: float32_matmul_precision {self.precision}.")

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Restore the precision from before."""
        if self._before is not None:
            torch.set_float32_matmul_precision(self._before)
            self._before = None
