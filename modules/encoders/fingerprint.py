"""Encoder of count fingerprints: a multi-layer perceptron."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor

from base.ranges import check_range, check_sizes
from datamodules.batch import Batch
from datamodules.drug_task import DrugTask
from modules.encoders.encoder import Encoder, combine_molecules, combined_size
from modules.heads.perceptron import perceptron


class FingerprintMLP(Encoder):
    """Multi-layer perceptron on the logarithms of fingerprint counts.

    The counts x of the molecules of a sample are combined, and the first layer reads `sign(x) log(1 + |x|)`. For a
    reaction x is the difference of product and reactants, in which unchanged substructures cancel.
    """

    def __init__(self, hidden_dims: list[int] | None = None, dropout: float = 0.0) -> None:
        """Create the encoder; `build` creates its layers.

        Args:
            hidden_dims: Sizes of the layers, of which the last is the embedding; 512 and 256 if null.
            dropout: Dropout probability after each layer.

        Raises:
            ValueError: If `hidden_dims` is empty or a number is out of range.
        """
        super().__init__()
        self.hidden_dims = [512, 256] if hidden_dims is None else list(hidden_dims)
        if not self.hidden_dims:
            raise ValueError("hidden_dims: expected one layer size or more, got an empty list.")
        check_sizes("hidden_dims", self.hidden_dims)
        check_range("dropout", dropout, 0, below=1)
        self.dropout = dropout

    def build(self, task: DrugTask) -> None:
        """See `Encoder.build`."""
        self.task = task
        width = task.features.fingerprint_width
        if task.input != "reaction":
            width = combined_size(width, task)
        self.layers = perceptron([width, *self.hidden_dims], self.dropout, final_activation=True)
        self.output_dim = self.hidden_dims[-1]

    def forward(self, batch: Batch) -> Tensor:
        """See `Encoder.forward`."""
        counts = self._counts(batch)
        is_reaction = self.task.input == "reaction"
        counts = counts[1::2] - counts[0::2] if is_reaction else combine_molecules(counts, self.task)
        return cast(Tensor, self.layers(torch.sign(counts) * torch.log1p(counts.abs())))

    def _counts(self, batch: Batch) -> Tensor:
        """Fingerprint counts of the molecules, (M, bins), or flattened arrays, (B, bins)."""
        if batch.arrays is not None:
            return batch.arrays.flatten(1)
        assert batch.fingerprints is not None
        return batch.fingerprints.dense()
