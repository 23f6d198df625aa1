"""Graph isomorphism network with bond features, in plain torch."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from base.ranges import check_range, check_whole
from datamodules.batch import Batch
from datamodules.chemistry.atom_codes import ATOM_CODE_SIZES, BOND_CODE_SIZE
from datamodules.drug_task import DrugTask
from modules.encoders.aggregation import MessageSum, sum_by_molecule, working_type
from modules.encoders.encoder import MOLECULES, Encoder, combine_molecules, combined_size, require_input
from modules.heads.perceptron import perceptron


class GIN(Encoder):
    """Graph isomorphism network (Xu et al., 2019, arXiv 1810.00826) with bond features.

    Each layer computes `h_i + MLP(h_i + sum_j (h_j + e_ij))`, with an embedding e_ij of the bond code. The factor
    1 + eps of the paper is 1 (GIN-0). Messages are linear in h and e, so that a layer is two sparse products and an
    MLP. The vector of a molecule is the sum over its atoms.
    """

    code_offsets: Tensor
    code_sizes: Tensor
    code_strides: Tensor

    def __init__(self, hidden_dim: int = 128, num_layers: int = 3, dropout: float = 0.0) -> None:
        """Create the encoder; `build` creates its layers.

        Args:
            hidden_dim: Size of atom vectors.
            num_layers: Number of layers.
            dropout: Dropout probability after each layer.

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
            InputError: If samples have no molecules.
        """
        require_input(self, task, MOLECULES)
        sizes = torch.tensor(list(ATOM_CODE_SIZES.values()))
        self.task = task
        self.register_buffer("code_sizes", sizes, persistent=False)
        self.register_buffer("code_strides", torch.cumprod(sizes, 0) // sizes, persistent=False)
        self.register_buffer("code_offsets", torch.cumsum(sizes, 0) - sizes, persistent=False)
        self.atom_embedding = nn.EmbeddingBag(int(sizes.sum()), self.hidden_dim, mode="sum")
        self.layers = _GINLayers(_GINLayer(self.hidden_dim, self.dropout) for _ in range(self.num_layers))
        self.output_dim = combined_size(self.hidden_dim, task)
        self.norm = nn.BatchNorm1d(self.output_dim)

    def forward(self, batch: Batch) -> Tensor:
        """See `Encoder.forward`."""
        molecules = batch.molecules
        assert molecules is not None
        codes = molecules.atom_codes
        # An export keeps sizes variable where they are read from shapes; len makes them constant.
        size, edges = codes.shape[0], (molecules.source, molecules.target, molecules.bond_codes)
        atoms = self.layers(self._embedded(codes), MessageSum(*edges, size, BOND_CODE_SIZE))
        sums = sum_by_molecule(atoms, molecules.molecule_of_atom, molecules.atoms_per_molecule.shape[0])
        return cast(Tensor, self.norm(combine_molecules(sums, self.task)))

    def _embedded(self, atom_codes: Tensor) -> Tensor:
        """Sum the embeddings of the codes of each atom, (A, h)."""
        if atom_codes.device.type != "cpu" or torch.compiler.is_compiling():
            # Unlike the search for distinct codes, a product needs no wait for the device, nor its gradient a sort, and
            # can be exported.
            table = self.atom_embedding.weight
            dtype = working_type(table.device, table.dtype)
            return multi_hot(atom_codes, self.code_offsets, len(table), dtype) @ table
        # A batch has few distinct atom codes, so each is embedded only once.
        keys = (atom_codes.long() * self.code_strides).sum(dim=1)
        kinds, kind_of_atom = torch.unique(keys, return_inverse=True)
        codes = kinds.unsqueeze(1) // self.code_strides % self.code_sizes
        return cast(Tensor, self.atom_embedding(codes + self.code_offsets)).index_select(0, kind_of_atom)

    def layers_to_compile(self) -> list[nn.Module]:
        """See `Encoder.layers_to_compile`."""
        return [self.layers]


def multi_hot(codes: Tensor, offsets: Tensor, width: int, dtype: torch.dtype) -> Tensor:
    """Mark the codes of each atom in one row of zeros and ones.

    Args:
        codes: Codes of each atom, integers (A, n).
        offsets: Place of the first code of each column, int64 (n,).
        width: Number of codes of all columns.
        dtype: Type of the result.

    Returns:
        (A, width).
    """
    rows = torch.zeros(codes.shape[0], width, dtype=dtype, device=codes.device)
    return rows.scatter_(1, codes.long() + offsets, 1.0)


class _GINLayers(nn.ModuleList):
    """The layers, one after the other; as one module they are compiled together."""

    def forward(self, atoms: Tensor, messages: MessageSum) -> Tensor:
        for layer in self:
            atoms = layer(atoms, messages)
        return atoms


class _GINLayer(nn.Module):
    def __init__(self, hidden_dim: int, dropout: float) -> None:
        super().__init__()
        self.bond_embedding = nn.Linear(BOND_CODE_SIZE, hidden_dim, bias=False)
        self.update = nn.Sequential(
            perceptron([hidden_dim, 2 * hidden_dim, hidden_dim]),
            nn.BatchNorm1d(hidden_dim),
            nn.ReLU(),
            nn.Dropout(dropout),
        )

    def forward(self, atoms: Tensor, messages: MessageSum) -> Tensor:
        return cast(Tensor, atoms + self.update(messages(atoms, self.bond_embedding.weight.t())))
