"""Base class of encoders, and the combination of the vectors of a sample's molecules."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from base.errors import InputError
from datamodules.batch import Batch
from datamodules.drug_task import DrugTask
from datamodules.tables.columns import INPUTS, InputKind

MOLECULES: tuple[InputKind, ...] = tuple(kind for kind, parts in INPUTS.items() if parts.smiles)
"""Kinds of input whose samples contain molecules."""


class Encoder(nn.Module, ABC):
    """Base class of encoders, which map a batch of B samples to embeddings, (B, output_dim).

    The constructor takes the settings. `build`, called once before the first forward pass, creates the layers, whose
    sizes depend on the data.

    Attributes:
        output_dim: Size d of embeddings; set by `build`.
        reads_proteins: Whether embeddings depend on the proteins of samples.
    """

    output_dim: int
    reads_proteins: bool = False

    @property
    def part_dims(self) -> list[int]:
        """Sizes of the embeddings of the encoders that this one consists of, which add up to `output_dim`."""
        return [self.output_dim]

    def layers_to_compile(self) -> list[nn.Module]:
        """Parts whose many small operations on a GPU become few when compiled, after `build`; none by default.

        They get tensors, or objects of tensors, whose sizes change from batch to batch.
        """
        return []

    @abstractmethod
    def build(self, task: DrugTask) -> None:
        """Create the layers.

        Args:
            task: Description of the data.
        """

    @abstractmethod
    def forward(self, batch: Batch) -> Tensor:
        """Compute the embeddings of a batch.

        Args:
            batch: Batch of B samples.

        Returns:
            Embeddings, (B, output_dim).
        """


def require_input(encoder: Encoder, task: DrugTask, readable: Sequence[InputKind]) -> None:
    """Check that an encoder can read the samples.

    Args:
        encoder: Encoder to check, named in the message.
        task: Description of the data.
        readable: Kinds of input that the encoder reads.

    Raises:
        InputError: If `task.input` is not readable.
    """
    if task.input in readable:
        return
    others = (
        "modules.encoders.ArrayMLP (--config encoder/array.yaml) or, for images, ImageCNN (encoder/image.yaml)"
        if task.input == "array"
        else "an encoder of molecules such as modules.encoders.FingerprintMLP (--config encoder/fingerprint.yaml)"
    )
    raise InputError(
        f"model.encoder: expected {others} for input {task.input}, got {type(encoder).__name__}, which reads input "
        f"{', '.join(readable)}."
    )


def combined_size(size: int, task: DrugTask) -> int:
    """Size of the vectors that `combine_molecules` returns for vectors of the given size."""
    return size * max(1, len(INPUTS[task.input].smiles))


def combine_molecules(molecules: Tensor, task: DrugTask) -> Tensor:
    """Combine the vectors of the molecules of each sample.

    The vector of a single molecule is unchanged. A reaction is represented by the difference of product and reactants,
    concatenated with the product. A pair is represented by the concatenation of both vectors or, if their order means
    nothing, of their sum and their absolute difference.

    Args:
        molecules: Vectors of the P consecutive molecules of each sample, (B*P, h).
        task: Description of the data.

    Returns:
        (B, h) for single molecules, (B, 2h) for reactions and pairs.
    """
    if len(INPUTS[task.input].smiles) < 2:
        return molecules
    first, second = molecules[0::2], molecules[1::2]
    if task.input == "reaction":
        return torch.cat([second - first, second], dim=1)
    if task.symmetric:
        return torch.cat([first + second, (first - second).abs()], dim=1)
    return torch.cat([first, second], dim=1)
