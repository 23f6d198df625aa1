"""Arrays of numbers: features through a multi-layer perceptron, images through a convolutional network."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal, cast

from torch import Tensor, nn

from base.errors import InputError
from datamodules.batch import Batch
from datamodules.drug_task import DrugTask
from modules.encoders.encoder import Encoder, require_input
from modules.heads.perceptron import perceptron

_IMAGE_DIMENSIONS = (2, 3)
# Values of a unit vector of thousands of features are small beside torch's usual 1e-5.
_SMALLEST_VARIANCE = 1e-8


class ArrayMLP(Encoder):
    """The values of an array, standardized, through linear layers."""

    def __init__(
        self,
        hidden_dims: list[int] | None = None,
        dropout: float = 0.0,
        standardize: Literal["feature", "sample"] = "feature",
    ) -> None:
        """A network whose layers are made by `build`.

        Args:
            hidden_dims: Sizes of the layers, the last of which is the embedding; 512 and 256 if null.
            dropout: Dropout probability after each layer.
            standardize: feature: each feature over the batch, in evaluation by running statistics, for features of
                different scales; sample: the features of each sample over themselves, for features of one scale and
                for sparse ones, of which a batch has too few values.

        Raises:
            ValueError: If there is no layer, or `standardize` is neither of these.
        """
        super().__init__()
        self.hidden_dims = [512, 256] if hidden_dims is None else list(hidden_dims)
        if not self.hidden_dims:
            raise ValueError("hidden_dims: expected one layer size or more, got an empty list.")
        if standardize not in ("feature", "sample"):
            raise ValueError(f"standardize: expected feature or sample, got {standardize!r}.")
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
    """Pairs of 3x3 convolutions, each pair halving height and width, then the mean over the image.

    The first pair has `hidden_dim` channels and each further one twice as many as the one before. Batch norm
    standardizes each channel of the image first.
    """

    def __init__(self, hidden_dim: int = 32, num_layers: int = 3, dropout: float = 0.0) -> None:
        """A network whose layers are made by `build`.

        Args:
            hidden_dim: Channels of the first pair; the embedding has `hidden_dim * 2 ** (num_layers - 1)`.
            num_layers: Number of pairs of convolutions.
            dropout: Dropout probability of the embedding.

        Raises:
            ValueError: If a number is below 1.
        """
        super().__init__()
        if min(hidden_dim, num_layers) < 1:
            raise ValueError(f"hidden_dim, num_layers: expected positive numbers, got {hidden_dim}, {num_layers}.")
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
        self.leave_out = nn.Dropout(self.dropout)
        self.output_dim = sizes[-1]

    def forward(self, batch: Batch) -> Tensor:
        """See `Encoder.forward`."""
        assert batch.arrays is not None
        images = self.layers(self.norm(batch.arrays.view(-1, *self.image_shape)))
        return cast(Tensor, self.leave_out(images.mean(dim=(2, 3))))


def _halving(width: int, next_width: int) -> nn.Sequential:
    """Two convolutions; the pooling keeps a last odd row or column, and so an image of a single pixel."""
    convolutions: list[nn.Module] = []
    for size in (width, next_width):
        convolutions += [nn.Conv2d(size, next_width, 3, padding=1, bias=False), nn.BatchNorm2d(next_width), nn.ReLU()]
    return nn.Sequential(*convolutions, nn.MaxPool2d(2, ceil_mode=True))
