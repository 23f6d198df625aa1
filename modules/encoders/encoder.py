"""The base class of encoders, and how the vectors of the molecules of one sample are combined."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from base.errors import InputError
from datamodules.batch import Batch
from datamodules.drug_task import DrugTask
from datamodules.tables.columns import MOLECULES_PER_SAMPLE, InputKind

MOLECULES: tuple[InputKind, ...] = ("molecule", "reaction", "pair", "drug_protein")
"""Inputs whose samples have molecules."""


class Encoder(nn.Module, ABC):
    """Maps a batch of B samples to embeddings (B, output_dim).

    The constructor takes the settings; `build`, called once before the first forward pass, makes the layers, whose
    sizes depend on the data.

    Attributes:
        output_dim: Size d of an embedding, known after `build`.
        reads_proteins: Whether the embedding depends on the protein of a sample.
    """

    output_dim: int
    reads_proteins: bool = False

    @abstractmethod
    def build(self, task: DrugTask) -> None:
        """Make the layers for one task.

        Args:
            task: The samples and their features.
        """

    @abstractmethod
    def forward(self, batch: Batch) -> Tensor:
        """Embed samples.

        Args:
            batch: B samples.

        Returns:
            Embeddings, (B, output_dim).
        """


def require_input(encoder: Encoder, task: DrugTask, readable: Sequence[InputKind]) -> None:
    """Check that an encoder can read the samples.

    Args:
        encoder: The encoder.
        task: The samples.
        readable: The inputs that the encoder reads.

    Raises:
        InputError: If `task.input` is not among them.
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


def combined_size(size: int, input: InputKind) -> int:
    """The size of the vectors that `combine_molecules` makes of vectors of `size`."""
    return size if MOLECULES_PER_SAMPLE[input] == 1 else 2 * size


def combine_molecules(molecules: Tensor, input: InputKind, symmetric_pair: bool = False) -> Tensor:
    """Combine the vectors of the molecules of each sample.

    A single molecule, with or without a protein, keeps its vector. For a reaction, product minus reactants is
    concatenated with the product; for a pair both vectors, or if it is symmetric their sum with their absolute
    difference.

    Args:
        molecules: (B P, h), the P molecules of a sample following each other.
        input: What one sample is.
        symmetric_pair: Whether the order of a pair is ignored.

    Returns:
        (B, h) for molecules, (B, 2 h) for reactions and pairs.
    """
    if MOLECULES_PER_SAMPLE[input] == 1:
        return molecules
    first, second = molecules[0::2], molecules[1::2]
    if input == "reaction":
        return torch.cat([second - first, second], dim=1)
    if symmetric_pair:
        return torch.cat([first + second, (first - second).abs()], dim=1)
    return torch.cat([first, second], dim=1)
