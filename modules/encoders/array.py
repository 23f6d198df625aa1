"""Encoders of arrays: a multi-layer perceptron for features and a convolutional network for images."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal, cast

from torch import Tensor, nn

from base.errors import InputError
from base.ranges import check_range, check_sizes, check_whole
from datamodules.batch import Batch
from datamodules.drug_task import DrugTask
from modules.encoders.encoder import Encoder, require_input
from modules.heads.perceptron import perceptron

_IMAGE_DIMENSIONS = (2, 3)
# PyTorch's default of 1e-5 exceeds the variance of unit vectors of thousands of features.
_SMALLEST_VARIANCE = 1e-8


class ArrayMLP(Encoder):
    """Multi-layer perceptron on the standardized values of an array."""

    def __init__(
        self,
        hidden_dims: list[int] | None = None,
        dropout: float = 0.0,
        standardize: Literal["feature", "sample"] = "feature",
    ) -> None:
        """Create the encoder; `build` creates its layers.

        Args:
            hidden_dims: Sizes of the layers, of which the last is the embedding; 512 and 256 if null.
            dropout: Dropout probability after each layer.
            standardize: feature: standardize each feature over the batch, or by running statistics in evaluation, for
                features of different scales. sample: standardize the features of each sample, for features of the
                same scale and for sparse features, whose statistics a batch estimates poorly.

        Raises:
            ValueError: If `hidden_dims` is empty, a number is out of range or `standardize` is neither of these.
        """
        super().__init__()
        self.hidden_dims = [512, 256] if hidden_dims is None else list(hidden_dims)
        if not self.hidden_dims:
            raise ValueError("hidden_dims: expected one layer size or more, got an empty list.")
        if standardize not in ("feature", "sample"):
            raise ValueError(f"standardize: expected 'feature' or 'sample', got {standardize!r}.")
        check_sizes("hidden_dims", self.hidden_dims)
        check_range("dropout", dropout, 0, below=1)
        self.dropout, self.standardize = dropout, standardize

    def build(self, task: DrugTask) -> None:
        """See `Encoder.build`.

        Raises:
            InputError: If samples are not arrays.
        """
        require_input(self, task, ("array",))
        width = task.features.fingerprint_width
        by_feature = self.standardize == "feature"
        self.norm = (
            nn.BatchNorm1d(width, _SMALLEST_VARIANCE, affine=False)
            if by_feature
            else nn.LayerNorm(width, _SMALLEST_VARIANCE, elementwise_affine=False)
        )
        self.layers = perceptron([width, *self.hidden_dims], self.dropout, final_activation=True)
        self.output_dim = self.hidden_dims[-1]

    def forward(self, batch: Batch) -> Tensor:
        """See `Encoder.forward`."""
        assert batch.arrays is not None
        return cast(Tensor, self.layers(self.norm(batch.arrays.flatten(1))))


class ImageCNN(Encoder):
    """Convolutional network of pairs of 3x3 convolutions, each followed by pooling, and global average pooling.

    The first pair has `hidden_dim` channels and each further pair twice as many as the previous one. The channels of
    the image are standardized by batch norm.
    """

    def __init__(self, hidden_dim: int = 32, num_layers: int = 3, dropout: float = 0.0) -> None:
        """Create the encoder; `build` creates its layers.

        Args:
            hidden_dim: Channels of the first pair; the size of the embedding is `hidden_dim * 2 ** (num_layers - 1)`.
            num_layers: Number of pairs of convolutions.
            dropout: Dropout probability of the embedding.

        Raises:
            ValueError: If a number is out of range.
        """
        super().__init__()
        check_whole("hidden_dim", hidden_dim, 1)
        check_whole("num_layers", num_layers, 1)
        check_range("dropout", dropout, 0, below=1)
        self.hidden_dim, self.num_layers, self.dropout = hidden_dim, num_layers, dropout

    def build(self, task: DrugTask) -> None:
        """See `Encoder.build`.

        Raises:
            InputError: If samples are not images.
        """
        require_input(self, task, ("array",))
        shape = task.features.array_shape
        if len(shape) not in _IMAGE_DIMENSIONS:
            raise InputError(
                f"model.encoder: expected modules.encoders.ArrayMLP (--config encoder/array.yaml) for samples of shape "
                f"{shape}, got ImageCNN, which reads (height, width) or (channels, height, width)."
            )
        self.image_shape = (1, *shape) if len(shape) == min(_IMAGE_DIMENSIONS) else shape
        channels = self.image_shape[0]
        sizes = [channels, *(self.hidden_dim * 2**layer for layer in range(self.num_layers))]
        self.norm = nn.BatchNorm2d(channels, _SMALLEST_VARIANCE, affine=False)
        self.layers = nn.Sequential(*(_halving(width, next_width) for width, next_width in pairwise(sizes)))
        self.dropout_layer = nn.Dropout(self.dropout)
        self.output_dim = sizes[-1]

    def forward(self, batch: Batch) -> Tensor:
        """See `Encoder.forward`."""
        assert batch.arrays is not None
        images = self.layers(self.norm(batch.arrays.view(-1, *self.image_shape)))
        return cast(Tensor, self.dropout_layer(images.mean(dim=(2, 3))))


def _halving(width: int, next_width: int) -> nn.Sequential:
    """Two convolutions and pooling, which keeps a last odd row or column and thus images of a single pixel."""
    convolutions: list[nn.Module] = []
    for size in (width, next_width):
        convolutions += [nn.Conv2d(size, next_width, 3, padding=1, bias=False), nn.BatchNorm2d(next_width), nn.ReLU()]
    return nn.Sequential(*convolutions, nn.MaxPool2d(2, ceil_mode=True))
