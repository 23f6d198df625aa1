"""Encoder of amino-acid sequences: a 1-D convolutional network."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from base.ranges import check_whole
from datamodules.batch import Batch
from datamodules.drug_task import DrugTask
from modules.encoders.encoder import Encoder, require_input

_LETTERS = 26


class ProteinCNN(Encoder):
    """Strided 1-D convolutions over the residues of a protein, and global max pooling.

    Similar to the protein encoder of DeepDTA (Ozturk et al., 2018, arXiv 1801.10193). Each distinct protein of a batch
    is embedded only once, and its embedding does not depend on the other proteins.
    """

    reads_proteins = True

    def __init__(
        self, hidden_dim: int = 64, num_layers: int = 3, kernel_size: int = 7, max_residues: int = 1000
    ) -> None:
        """Create the encoder; `build` creates its layers.

        Args:
            hidden_dim: Size of residue vectors and of the embedding.
            num_layers: Number of convolutions, each of which halves the length.
            kernel_size: Kernel size of the convolutions, an odd number.
            max_residues: Maximum length; longer proteins are truncated.

        Raises:
            ValueError: If a number is out of range.
        """
        super().__init__()
        check_whole("hidden_dim", hidden_dim, 1)
        check_whole("num_layers", num_layers, 1)
        check_whole("kernel_size", kernel_size, 1)
        check_whole("max_residues", max_residues, 1)
        if kernel_size % 2 == 0:
            raise ValueError(f"kernel_size: expected an odd number, got {kernel_size}.")
        self.hidden_dim, self.num_layers, self.kernel_size = hidden_dim, num_layers, kernel_size
        self.max_residues = max_residues

    def build(self, task: DrugTask) -> None:
        """See `Encoder.build`.

        Raises:
            InputError: If samples have no proteins.
        """
        require_input(self, task, ("drug_protein",))
        size = self.hidden_dim
        self.residue_embedding = nn.Embedding(_LETTERS, size)
        self.convolutions = nn.ModuleList(
            nn.Conv1d(size, size, self.kernel_size, stride=2, padding=self.kernel_size // 2)
            for _ in range(self.num_layers)
        )
        self.norms = nn.ModuleList(nn.LayerNorm(size) for _ in range(self.num_layers))
        self.output_dim = size

    def forward(self, batch: Batch) -> Tensor:
        """See `Encoder.forward`.

        Raises:
            ValueError: If the batch has no proteins.
        """
        given = batch.proteins
        if given is None:
            raise ValueError("batch: expected samples with proteins (data.input drug_protein), got none.")
        if len(batch) == 0:
            # In the last batch a process may have no samples.
            return self.residue_embedding.weight.new_zeros(0, self.output_dim)
        lengths = given.residues_per_protein
        starts = torch.cumsum(lengths, 0) - lengths
        lengths = lengths.clamp(max=self.max_residues)
        places = torch.arange(int(lengths.max()), device=lengths.device)
        flat = (starts.unsqueeze(1) + places).clamp(max=len(given.residue_codes) - 1)
        mask = (places < lengths.unsqueeze(1)).unsqueeze(2)
        residues = self.residue_embedding(given.residue_codes[flat].long()) * mask
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            # A position after striding belongs to the protein if the center of its window does.
            mask = mask[:, ::2]
            residues = torch.relu(norm(convolution(residues.transpose(1, 2)).transpose(1, 2))) * mask
        proteins = residues.masked_fill(~mask, float("-inf")).amax(dim=1)
        return cast(Tensor, proteins[given.protein_of_sample])
