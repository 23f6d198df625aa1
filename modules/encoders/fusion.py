"""Concatenation of the embeddings of several encoders."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from datamodules.batch import Batch
from datamodules.drug_task import DrugTask
from modules.encoders.encoder import Encoder
from modules.encoders.fingerprint import FingerprintMLP
from modules.encoders.gin import GIN


class Fusion(Encoder):
    """Several encoders whose embeddings are concatenated; by default a GIN and a FingerprintMLP."""

    def __init__(self, encoders: list[Encoder] | None = None) -> None:
        """Create the encoder; `build` creates its layers.

        Args:
            encoders: Encoders to combine; a GIN and a FingerprintMLP with dropout 0.2 if null.
        """
        super().__init__()
        self.encoders = nn.ModuleList([GIN(), FingerprintMLP(dropout=0.2)] if encoders is None else encoders)

    def build(self, task: DrugTask) -> None:
        """See `Encoder.build`."""
        self.reads_proteins = False
        for encoder in self._each():
            encoder.build(task)
            self.reads_proteins |= encoder.reads_proteins
        self.output_dim = sum(self.part_dims)

    @property
    def part_dims(self) -> list[int]:
        """See `Encoder.part_dims`."""
        return [encoder.output_dim for encoder in self._each()]

    def forward(self, batch: Batch) -> Tensor:
        """See `Encoder.forward`."""
        return torch.cat([encoder(batch) for encoder in self.encoders], dim=1)

    def layers_to_compile(self) -> list[nn.Module]:
        """See `Encoder.layers_to_compile`."""
        return [layers for encoder in self._each() for layers in encoder.layers_to_compile()]

    def _each(self) -> list[Encoder]:
        return [encoder for encoder in self.encoders if isinstance(encoder, Encoder)]
