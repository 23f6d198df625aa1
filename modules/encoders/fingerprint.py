"""Count fingerprints through a multi-layer perceptron."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor

from datamodules.drug_task import DrugTask
from datamodules.molecule_batch import MoleculeBatch
from modules.encoders.encoder import Encoder, combine_molecules, combined_size
from modules.heads.perceptron import perceptron


class FingerprintMLP(Encoder):
    """Logarithms of the counts of the data's fingerprints, through linear layers.

    The molecules of a sample are combined before the first layer, as counts; then `sign(x) log(1 + |x|)`. Of a
    reaction only product minus reactants is seen: what the reaction leaves unchanged cancels exactly.
    """

    def __init__(
        self, hidden_dims: list[int] | None = None, dropout: float = 0.0, symmetric_pair: bool = False
    ) -> None:
        """Keep the settings.

        Args:
            hidden_dims: Sizes of the layers, the last one being the embedding's; 512 and 256 if null.
            dropout: Share of hidden units that training leaves out after each layer.
            symmetric_pair: Whether the order of a pair means nothing.

        Raises:
            ValueError: If there is no layer.
        """
        super().__init__()
        self.hidden_dims = [512, 256] if hidden_dims is None else list(hidden_dims)
        if not self.hidden_dims:
            raise ValueError("hidden_dims: expected one layer size or more, got an empty list.")
        self.dropout, self.symmetric_pair = dropout, symmetric_pair

    def build(self, task: DrugTask) -> None:
        """See `Encoder.build`."""
        self.input = task.input
        self.fingerprint_width = task.features.fingerprint_width
        reaction = task.input == "reaction"
        width = self.fingerprint_width if reaction else combined_size(self.fingerprint_width, task.input)
        self.layers = perceptron([width, *self.hidden_dims], self.dropout, final_activation=True)
        self.output_dim = self.hidden_dims[-1]

    def forward(self, batch: MoleculeBatch) -> Tensor:
        """See `Encoder.forward`."""
        counts = batch.fingerprints(self.fingerprint_width)
        if self.input == "reaction":
            counts = counts[1::2] - counts[0::2]
        else:
            counts = combine_molecules(counts, self.input, self.symmetric_pair)
        return cast(Tensor, self.layers(torch.sign(counts) * torch.log1p(counts.abs())))
