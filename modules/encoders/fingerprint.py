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

    Layers that the molecules of a sample share read `log(1 + x)` of the counts x of each molecule, and the layers that
    follow read the combination of their outputs (see `combine_molecules`). Without shared layers, the counts are
    combined, and the first layer reads `sign(x) log(1 + |x|)`; for a reaction x is then the difference of product and
    reactants, in which unchanged substructures cancel.
    """

    def __init__(
        self, hidden_dims: list[int] | None = None, dropout: float = 0.0, molecule_dims: list[int] | None = None
    ) -> None:
        """Create the encoder; `build` creates its layers.

        Args:
            hidden_dims: Sizes of the layers that follow, of which the last is the embedding; if null, 256 after shared
                layers, and 512 and 256 without them.
            dropout: Dropout probability after each layer.
            molecule_dims: Sizes of the layers that the molecules of a sample share; none if empty. If null, one layer
                of 512 for pairs and none for other inputs.

        Raises:
            ValueError: If `hidden_dims` is empty or a number is out of range.
        """
        super().__init__()
        if hidden_dims == []:
            raise ValueError("hidden_dims: expected one layer size or more, got an empty list.")
        check_sizes("hidden_dims", hidden_dims)
        check_sizes("molecule_dims", molecule_dims)
        check_range("dropout", dropout, 0, below=1)
        self.hidden_dims, self.molecule_dims, self.dropout = hidden_dims, molecule_dims, dropout

    def build(self, task: DrugTask) -> None:
        """See `Encoder.build`."""
        self.task = task
        shared = self.molecule_dims
        if shared is None:
            shared = [512] if task.input == "pair" else []
        following = self.hidden_dims or ([256] if shared else [512, 256])
        width = task.features.fingerprint_width
        self.shares_layers = bool(shared)
        if shared:
            self.molecule_layers = perceptron([width, *shared], self.dropout, final_activation=True)
            width = combined_size(shared[-1], task)
        elif task.input != "reaction":
            width = combined_size(width, task)
        self.layers = perceptron([width, *following], self.dropout, final_activation=True)
        self.output_dim = following[-1]

    def forward(self, batch: Batch) -> Tensor:
        """See `Encoder.forward`."""
        counts = self._counts(batch)
        if self.shares_layers:
            molecules = self.molecule_layers(_signed_log(counts))
            return cast(Tensor, self.layers(combine_molecules(molecules, self.task)))
        is_reaction = self.task.input == "reaction"
        counts = counts[1::2] - counts[0::2] if is_reaction else combine_molecules(counts, self.task)
        return cast(Tensor, self.layers(_signed_log(counts)))

    def _counts(self, batch: Batch) -> Tensor:
        """Fingerprint counts of the molecules, (M, bins), or flattened arrays, (B, bins)."""
        if batch.arrays is not None:
            return batch.arrays.flatten(1)
        assert batch.fingerprints is not None
        return batch.fingerprints.dense()


def _signed_log(counts: Tensor) -> Tensor:
    """`sign(x) log(1 + |x|)` of each number; arrays and differences of counts may be negative."""
    return torch.sign(counts) * torch.log1p(counts.abs())
