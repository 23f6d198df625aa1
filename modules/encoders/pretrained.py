"""Encoder of the vectors of a pretrained model: a multi-layer perceptron."""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn

from base.errors import InputError
from base.ranges import check_range, check_sizes
from datamodules.batch import Batch
from datamodules.drug_task import DrugTask
from modules.encoders.encoder import MOLECULES, Encoder, combine_molecules, combined_size, require_input
from modules.heads.perceptron import perceptron


class PretrainedMLP(Encoder):
    """Multi-layer perceptron on the pretrained vectors of molecules (`data.pretrained`), which stay as they are.

    Each number of the vectors is standardized by batch norm. The molecules of a sample share all layers; their outputs
    are combined (see `combine_molecules`).
    """

    def __init__(self, hidden_dims: list[int] | None = None, dropout: float = 0.5) -> None:
        """Create the encoder; `build` creates its layers.

        Args:
            hidden_dims: Sizes of the layers; 512 and 256 if null.
            dropout: Dropout probability after each layer.

        Raises:
            ValueError: If `hidden_dims` is empty or a number is out of range.
        """
        super().__init__()
        if hidden_dims == []:
            raise ValueError("hidden_dims: expected one layer size or more, got an empty list.")
        check_sizes("hidden_dims", hidden_dims)
        check_range("dropout", dropout, 0, below=1)
        self.hidden_dims, self.dropout = hidden_dims or [512, 256], dropout

    def build(self, task: DrugTask) -> None:
        """See `Encoder.build`.

        Raises:
            InputError: If samples have no molecules, or the data have no pretrained vectors.
        """
        require_input(self, task, MOLECULES)
        size = task.features.vector_size
        if size == 0:
            raise InputError(
                "data.pretrained: expected the pretrained model that PretrainedMLP of model.encoder reads, such as "
                "minimol; got null."
            )
        self.task = task
        self.standardize = nn.BatchNorm1d(size, affine=False)
        self.layers = perceptron([size, *self.hidden_dims], self.dropout, final_activation=True)
        self.output_dim = combined_size(self.hidden_dims[-1], task)

    def forward(self, batch: Batch) -> Tensor:
        """See `Encoder.forward`."""
        assert batch.vectors is not None
        return combine_molecules(cast(Tensor, self.layers(self.standardize(batch.vectors))), self.task)
