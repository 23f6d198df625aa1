"""Encoder of count fingerprints: a multi-layer perceptron."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from base.ranges import check_range, check_sizes
from datamodules.batch import Batch, FingerprintBatch
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
        if self.shares_layers:
            molecules = self._perceive(self.molecule_layers, batch.fingerprints or _arrays(batch))
            return cast(Tensor, self.layers(combine_molecules(molecules, self.task)))
        if batch.fingerprints is None:
            return self._perceive(self.layers, _arrays(batch))
        if self.task.input == "reaction":
            return self._perceive(self.layers, _differences(batch.fingerprints))
        if combined_size(1, self.task) == 1:
            return self._perceive(self.layers, batch.fingerprints)
        return self._perceive(self.layers, combine_molecules(batch.fingerprints.dense(), self.task))

    @staticmethod
    def _perceive(layers: nn.Sequential, counts: Tensor | FingerprintBatch) -> Tensor:
        """The layers applied to logarithms of counts; without a dense tensor, only those that are not zero are read."""
        if isinstance(counts, Tensor):
            return cast(Tensor, layers(_signed_log(counts)))
        if torch.compiler.is_compiling():
            # An exported model would hold a row of weights for each bin.
            return cast(Tensor, layers(_signed_log(counts.dense())))
        first = cast(nn.Linear, layers[0])
        # Bins follow their molecules; counting them would make the host wait for a GPU.
        starts = torch.searchsorted(counts.molecule, torch.arange(counts.shape[0], device=counts.molecule.device))
        weights = _signed_log(counts.count).to(first.weight.dtype)
        # Without the copy, the kernel falls back to a slow path.
        rows = first.weight.t().contiguous()
        sums = functional.embedding_bag(counts.bin, rows, starts, mode="sum", per_sample_weights=weights) + first.bias
        device = sums.device.type
        # As the linear layer does, which autocast lowers; it leaves embedding_bag as it is.
        lowered = sums.to(torch.get_autocast_dtype(device)) if torch.is_autocast_enabled(device) else sums
        return cast(Tensor, layers[1:](lowered))


def _arrays(batch: Batch) -> Tensor:
    assert batch.arrays is not None
    return batch.arrays.flatten(1)


def _differences(fingerprints: FingerprintBatch) -> FingerprintBatch | Tensor:
    """The counts of each product minus those of its reactants."""
    if torch.compiler.is_compiling():
        # How many bins differ is no size that an exported model can have.
        counts = fingerprints.dense()
        return counts[1::2] - counts[0::2]
    return fingerprints.differences()


def _signed_log(counts: Tensor) -> Tensor:
    """`sign(x) log(1 + |x|)` of each number; arrays and differences of counts may be negative."""
    return torch.sign(counts) * torch.log1p(counts.abs())
