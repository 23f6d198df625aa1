"""Amino-acid sequences through 1-D convolutions."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from datamodules.batch import Batch
from datamodules.drug_task import DrugTask
from modules.encoders.encoder import Encoder, require_input

_LETTERS = 26


class ProteinCNN(Encoder):
    """Strided 1-D convolutions over the residues of a protein, then the maximum over its length.

    The kind of encoder that DeepDTA introduced for drug-protein data (Ozturk et al. 2018, arXiv 1801.10193). Each
    distinct protein of a batch is embedded once, and its embedding does not depend on the others.
    """

    reads_proteins = True

    def __init__(
        self, hidden_dim: int = 64, num_layers: int = 3, kernel_size: int = 7, max_residues: int = 1000
    ) -> None:
        """A network whose layers are made by `build`.

        Args:
            hidden_dim: Size of a residue's vector and of the embedding.
            num_layers: Number of convolutions, each of which halves the length.
            kernel_size: Residues in the window of a convolution, an odd number.
            max_residues: Residues that are read of a protein, from its start.

        Raises:
            ValueError: If a number is out of range.
        """
        super().__init__()
        if kernel_size % 2 == 0 or min(hidden_dim, num_layers, kernel_size, max_residues) < 1:
            raise ValueError(
                "hidden_dim, num_layers, kernel_size, max_residues: expected positive numbers, kernel_size odd; got "
                f"{hidden_dim}, {num_layers}, {kernel_size}, {max_residues}."
            )
        self.hidden_dim, self.num_layers, self.kernel_size = hidden_dim, num_layers, kernel_size
        self.max_residues = max_residues

    def build(self, task: DrugTask) -> None:
        """See `Encoder.build`.

        Raises:
            InputError: If samples have no protein.
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
            ValueError: If the samples have no proteins.
        """
        given = batch.proteins
        if given is None:
            raise ValueError("batch: expected samples with proteins, as of data.input drug_protein; got none.")
        if len(batch) == 0:
            # A process may have no sample of a last batch.
            return self.residue_embedding.weight.new_zeros(0, self.output_dim)
        lengths = given.residues_per_protein
        starts = torch.cumsum(lengths, 0) - lengths
        lengths = lengths.clamp(max=self.max_residues)
        places = torch.arange(int(lengths.max()), device=lengths.device)
        flat = (starts.unsqueeze(1) + places).clamp(max=len(given.residue_codes) - 1)
        mask = (places < lengths.unsqueeze(1)).unsqueeze(2)
        residues = self.residue_embedding(given.residue_codes[flat].long()) * mask
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            # A place of the shorter sequence is within the protein if the middle of its window is.
            mask = mask[:, ::2]
            residues = torch.relu(norm(convolution(residues.transpose(1, 2)).transpose(1, 2))) * mask
        proteins = residues.masked_fill(~mask, float("-inf")).amax(dim=1)
        return cast(Tensor, proteins[given.protein_of_sample])
