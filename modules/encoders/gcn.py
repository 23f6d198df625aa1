"""Graph convolutional network of the paper, in plain torch."""

from __future__ import annotations

import functools
from itertools import pairwise

import torch
from torch import Tensor, nn

from base.ranges import check_whole
from datamodules.batch import Batch
from datamodules.chemistry.atom_codes import ATOM_CODE_SIZES, MAX_CHARGE
from datamodules.drug_task import DrugTask
from modules.encoders.aggregation import NeighborSum, sum_by_molecule
from modules.encoders.encoder import MOLECULES, Encoder, combine_molecules, combined_size, require_input

# Elements and hybridizations of the canonical atom features of dgllife, in its order.
_ELEMENTS = (
    *(6, 7, 8, 16, 9, 14, 15, 17, 35, 12, 11, 20, 26, 33, 13, 53, 5, 23, 19, 81, 70, 51, 50, 47, 46, 27, 34, 22, 30),
    *(1, 3, 32, 29, 79, 28, 48, 49, 25, 40, 24, 78, 80, 82),
)
_HYBRIDIZATIONS = (2, 3, 4, 6, 7)
CANONICAL_ATOM_FEATURES = 74


def canonical_atom_features(atom_codes: Tensor) -> Tensor:
    """Compute the 74 atom features of the paper's code (canonical atom features of dgllife).

    One-hot element (43), degree 0-10 and implicit valence 0-6; formal charge and radical electrons as numbers; one-hot
    hybridization (SP, SP2, SP3, SP3D, SP3D2); aromaticity; one-hot number of hydrogens 0-4. A block is zero for a value
    outside its range.

    Args:
        atom_codes: Atom codes, integers (A, 10).

    Returns:
        float32 (A, 74).
    """
    column = {name: atom_codes[:, place].long() for place, name in enumerate(ATOM_CODE_SIZES)}

    def one_hot(name: str, values: tuple[int, ...]) -> Tensor:
        # What is made in an export has no values, and must not be kept.
        on_device = _on_device.__wrapped__ if torch.compiler.is_compiling() else _on_device
        return (column[name].unsqueeze(1) == on_device(values, atom_codes.device)).float()

    return torch.cat(
        [
            one_hot("element", _ELEMENTS),
            one_hot("degree", tuple(range(11))),
            one_hot("implicit_valence", tuple(range(7))),
            (column["charge"] - MAX_CHARGE).float().unsqueeze(1),
            column["radical_electrons"].float().unsqueeze(1),
            one_hot("hybridization", _HYBRIDIZATIONS),
            column["aromatic"].float().unsqueeze(1),
            one_hot("hydrogens", tuple(range(5))),
        ],
        dim=1,
    )


@functools.cache
def _on_device(values: tuple[int, ...], device: torch.device) -> Tensor:
    # A copy in each batch would make the host wait for the device.
    return torch.tensor(values, device=device)


class GCN(Encoder):
    """Graph convolutional network of the code of Su, Li and Wang (2025, arXiv 2504.04647).

    Each layer computes `BatchNorm(ReLU(sum_j W h_j + b) + ReLU(V h_i + c))` (Kipf and Welling, 2017, arXiv 1609.02907,
    without degree normalization). The vector of a molecule is the sum over its atoms. The convolutions equal DGL's
    `GraphConv(norm="none")` and have parameters of the same names, shapes and initial values.
    """

    def __init__(self, hidden_dim: int = 128, num_layers: int = 3) -> None:
        """Create the encoder; `build` creates its layers.

        Args:
            hidden_dim: Size of atom vectors.
            num_layers: Number of graph convolutions.

        Raises:
            ValueError: If a number is below 1.
        """
        super().__init__()
        check_whole("hidden_dim", hidden_dim, 1)
        check_whole("num_layers", num_layers, 1)
        self.hidden_dim, self.num_layers = hidden_dim, num_layers

    def build(self, task: DrugTask) -> None:
        """See `Encoder.build`.

        Raises:
            InputError: If samples have no molecules.
        """
        require_input(self, task, MOLECULES)
        sizes = [CANONICAL_ATOM_FEATURES] + [self.hidden_dim] * self.num_layers
        pairs = list(pairwise(sizes))
        self.task = task
        self.convolutions = nn.ModuleList(_GraphConvolution(width, next_width) for width, next_width in pairs)
        self.residuals = nn.ModuleList(nn.Linear(width, next_width) for width, next_width in pairs)
        self.norms = nn.ModuleList(nn.BatchNorm1d(next_width) for _, next_width in pairs)
        self.output_dim = combined_size(self.hidden_dim, task)

    def forward(self, batch: Batch) -> Tensor:
        """See `Encoder.forward`."""
        assert batch.molecules is not None
        graph = batch.molecules
        atoms = canonical_atom_features(graph.atom_codes)
        neighbors = NeighborSum(graph.source, graph.target, atoms.shape[0])
        for convolution, residual, norm in zip(self.convolutions, self.residuals, self.norms, strict=True):
            atoms = norm(convolution(atoms, neighbors) + torch.relu(residual(atoms)))
        # Unlike len, the shape keeps the size variable in an export.
        molecules = sum_by_molecule(atoms, graph.molecule_of_atom, graph.atoms_per_molecule.shape[0])
        return combine_molecules(molecules, self.task)


class _GraphConvolution(nn.Module):
    """`ReLU(sum_j W h_j + b)` over the neighbors j of each atom."""

    def __init__(self, width: int, next_width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(width, next_width))
        self.bias = nn.Parameter(torch.empty(next_width))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        nn.init.xavier_uniform_(self.weight)
        nn.init.zeros_(self.bias)

    def forward(self, atoms: Tensor, neighbors: NeighborSum) -> Tensor:
        width, next_width = self.weight.shape
        # The cost of the sum is proportional to the width, so sum before or after the product, whichever is narrower.
        summed = neighbors(atoms @ self.weight) if next_width < width else neighbors(atoms) @ self.weight
        return torch.relu(summed + self.bias)
