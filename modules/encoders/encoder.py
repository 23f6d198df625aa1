"""What every encoder offers, and how the molecules of one sample are combined."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from base.errors import InputError
from datamodules.drug_task import DrugTask
from datamodules.molecule_batch import MoleculeBatch
from datamodules.tables.drug_table import MOLECULES_PER_SAMPLE, InputKind

MOLECULES: tuple[InputKind, ...] = ("molecule", "reaction", "pair", "drug_protein")
"""The inputs whose samples have molecular graphs."""


class Encoder(nn.Module, ABC):
    """Maps a batch of B samples to embeddings (B, output_dim).

    Settings come with the constructor; sizes that depend on the data come with `build`, once, before the first
    forward pass.

    Attributes:
        output_dim: Size d of an embedding, known after `build`.
        reads_proteins: Whether the embedding depends on the protein of a drug-protein sample.
    """

    output_dim: int
    reads_proteins: bool = False

    @abstractmethod
    def build(self, task: DrugTask) -> None:
        """Make the layers for one task.

        Args:
            task: Says what a sample is and how molecules were featurised.
        """

    @abstractmethod
    def forward(self, batch: MoleculeBatch) -> Tensor:
        """Embed samples.

        Args:
            batch: B samples.

        Returns:
            Embeddings, (B, output_dim).
        """


def require_input(encoder: Encoder, task: DrugTask, readable: Sequence[InputKind]) -> None:
    """Stop where an encoder cannot read what a sample is.

    Args:
        encoder: Named in the message.
        task: Says what a sample is.
        readable: What the encoder reads.

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
        f"model.encoder: {type(encoder).__name__} reads input {', '.join(readable)}, and the data are {task.input}; "
        f"choose {others}."
    )


def combined_size(size: int, input: InputKind) -> int:
    """How wide `combine_molecules` makes vectors of `size`."""
    return size if MOLECULES_PER_SAMPLE[input] == 1 else 2 * size


def combine_molecules(molecules: Tensor, input: InputKind, symmetric_pair: bool = False) -> Tensor:
    """One vector a sample from the vectors of its molecules.

    A molecule, alone or beside a protein, keeps its vector. A reaction gets product minus reactants, beside the
    product. A pair gets both vectors, or where its order means nothing their sum beside their absolute difference.

    Args:
        molecules: (B P, h), the P molecules of a sample following each other.
        input: What a sample is.
        symmetric_pair: Whether swapping the molecules of a pair must change nothing.

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
