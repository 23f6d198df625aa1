"""Graph isomorphism network with bond features, in plain torch."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from datamodules.drug_task import DrugTask
from datamodules.molecule_batch import MoleculeBatch
from datamodules.molecule_graphs import ATOM_CODE_SIZES, BOND_CODE_SIZE
from modules.encoders.aggregation import NeighbourSum, sum_by_molecule
from modules.encoders.encoder import Encoder, combine_molecules, combined_size
from modules.perceptron import perceptron


class GIN(Encoder):
    """Graph isomorphism network (Xu et al. 2019, arXiv 1810.00826) whose messages carry the bond.

    Each layer computes `h_i + MLP((1 + eps) h_i + sum_j (h_j + e_ij))`, with an embedding `e` of the bond code that
    is summed beside the neighbours: the message is linear, so a layer is one sparse product and one small dense one.
    Molecules are the sums of their atoms.
    """

    code_offsets: Tensor

    def __init__(
        self, hidden_dim: int = 128, num_layers: int = 3, dropout: float = 0.0, symmetric_pair: bool = False
    ) -> None:
        """Keep the settings.

        Args:
            hidden_dim: Size of an atom's vector.
            num_layers: Rounds of message passing.
            dropout: Share of hidden units that training leaves out after each layer.
            symmetric_pair: Whether the order of a pair means nothing.
        """
        super().__init__()
        self.hidden_dim, self.num_layers, self.dropout = hidden_dim, num_layers, dropout
        self.symmetric_pair = symmetric_pair

    def build(self, task: DrugTask) -> None:
        """See `Encoder.build`."""
        sizes = torch.tensor(list(ATOM_CODE_SIZES.values()))
        self.input = task.input
        self.register_buffer("code_offsets", torch.cumsum(sizes, 0) - sizes, persistent=False)
        self.atom_embedding = nn.EmbeddingBag(int(sizes.sum()), self.hidden_dim, mode="sum")
        self.layers = nn.ModuleList(_GINLayer(self.hidden_dim, self.dropout) for _ in range(self.num_layers))
        self.output_dim = combined_size(self.hidden_dim, task.input)
        self.norm = nn.BatchNorm1d(self.output_dim)

    def forward(self, batch: MoleculeBatch) -> Tensor:
        """See `Encoder.forward`."""
        num_atoms = batch.atom_codes.shape[0]
        atoms = self.atom_embedding(batch.atom_codes.long() + self.code_offsets)
        neighbours = NeighbourSum(batch.source, batch.target, num_atoms)
        flat = batch.target * BOND_CODE_SIZE + batch.bond_codes.long()
        bonds = torch.bincount(flat, minlength=num_atoms * BOND_CODE_SIZE).view(num_atoms, BOND_CODE_SIZE)
        for layer in self.layers:
            atoms = layer(atoms, neighbours, bonds.to(atoms.dtype))
        molecules = sum_by_molecule(atoms, batch.molecule_of_atom, batch.num_molecules)
        return cast(Tensor, self.norm(combine_molecules(molecules, self.input, self.symmetric_pair)))


class _GINLayer(nn.Module):
    def __init__(self, hidden_dim: int, dropout: float) -> None:
        super().__init__()
        self.epsilon = nn.Parameter(torch.zeros(()))
        self.bond_embedding = nn.Linear(BOND_CODE_SIZE, hidden_dim, bias=False)
        self.update = nn.Sequential(
            perceptron([hidden_dim, 2 * hidden_dim, hidden_dim]),
            nn.BatchNorm1d(hidden_dim),
            nn.ReLU(),
            nn.Dropout(dropout),
        )

    def forward(self, atoms: Tensor, neighbours: NeighbourSum, bonds: Tensor) -> Tensor:
        message = neighbours(atoms) + self.bond_embedding(bonds)
        return cast(Tensor, atoms + self.update((1 + self.epsilon) * atoms + message))
