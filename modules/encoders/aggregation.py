"""Message aggregation: sums over the neighbors of each atom and over the atoms of each molecule."""

from __future__ import annotations

import warnings
from typing import Any, cast

import torch
from torch import Tensor


class NeighborSum:
    """Sum `sum_j h_j` over the neighbors j of each atom i of a batch.

    Uses a sparse CSR product on the CPU, where it is several times as fast as `index_add`, and `index_add` elsewhere.
    """

    def __init__(self, source: Tensor, target: Tensor, num_atoms: int) -> None:
        """Prepare the sum for the edges of a batch.

        Args:
            source: Source atom of each edge, int64 (E,).
            target: Target atom of each edge, int64 (E,), ascending.
            num_atoms: Number of atoms A.
        """
        self._source, self._target = source, target
        if source.device.type == "cpu":
            order = torch.argsort(source, stable=True)
            self.adjacency = _sparse_rows(target, source, num_atoms, num_atoms)
            self.transposed = _sparse_rows(source[order], target[order], num_atoms, num_atoms)

    def __call__(self, atoms: Tensor) -> Tensor:
        """Sum the vectors of the neighbors of each atom.

        Args:
            atoms: Vectors of the atoms, (A, h).

        Returns:
            float32 (A, h).
        """
        atoms = atoms.float()
        # Autocast would choose a 16-bit kernel, which sparse products do not have.
        with torch.autocast(atoms.device.type, enabled=False):
            if atoms.device.type == "cpu":
                return cast(Tensor, _SparseProduct.apply(self.adjacency, self.transposed, atoms))  # type: ignore[no-untyped-call]
            return self.add_to(torch.zeros_like(atoms), atoms)

    def add_to(self, total: Tensor, atoms: Tensor) -> Tensor:
        """Compute `total_i + sum_j h_j` with `index_add`.

        Args:
            total: Initial vectors, (A, h).
            atoms: Vectors of the atoms, (A, h).

        Returns:
            (A, h).
        """
        return total.index_add(0, self._target, atoms[self._source])


class MessageSum:
    """Sum `h_i + sum_j (h_j + e_ij)` over the neighbors j of each atom i of a batch, with embeddings e of the bonds.

    Uses two sparse CSR products into the same array on the CPU and `index_add` elsewhere.
    """

    def __init__(self, source: Tensor, target: Tensor, bond_codes: Tensor, num_atoms: int, num_bond_codes: int) -> None:
        """Prepare the sum for the edges of a batch.

        Args:
            source: Source atom of each edge, int64 (E,).
            target: Target atom of each edge, int64 (E,), ascending.
            bond_codes: Code of each edge's bond, integers (E,).
            num_atoms: Number of atoms A.
            num_bond_codes: Number of bond codes.
        """
        codes = bond_codes.long()
        counts = torch.bincount(target * num_bond_codes + codes, minlength=num_atoms * num_bond_codes)
        self._bond_counts = counts.view(num_atoms, num_bond_codes).float()
        self._neighbors = NeighborSum(source, target, num_atoms)
        if source.device.type == "cpu":
            self._bonds = _sparse_rows(target, codes, num_atoms, num_bond_codes)

    def __call__(self, atoms: Tensor, bond_embedding: Tensor) -> Tensor:
        """Sum the vectors of each atom, its neighbors and its bonds.

        Args:
            atoms: Vectors of the atoms, (A, h).
            bond_embedding: Embedding of each bond code, (num_bond_codes, h).

        Returns:
            float32 (A, h).
        """
        atoms, bond_embedding = atoms.float(), bond_embedding.float()
        # Autocast would choose a 16-bit kernel, which sparse products do not have.
        with torch.autocast(atoms.device.type, enabled=False):
            if atoms.device.type == "cpu":
                neighbors = self._neighbors
                matrices = self._bonds, self._bond_counts, neighbors.adjacency, neighbors.transposed
                return cast(Tensor, _SparseSum.apply(*matrices, atoms, bond_embedding))  # type: ignore[no-untyped-call]
            return self._neighbors.add_to(torch.addmm(atoms, self._bond_counts, bond_embedding), atoms)


def sum_by_molecule(atoms: Tensor, molecule_of_atom: Tensor, num_molecules: int) -> Tensor:
    """Sum the vectors of the atoms of each molecule.

    Args:
        atoms: Vectors of the atoms, (A, h).
        molecule_of_atom: Molecule of each atom, int64 (A,).
        num_molecules: Number of molecules M.

    Returns:
        float32 (M, h).
    """
    total = torch.zeros(num_molecules, atoms.shape[1], dtype=torch.float32, device=atoms.device)
    return total.index_add(0, molecule_of_atom, atoms.float())


def _sparse_rows(rows: Tensor, columns: Tensor, height: int, width: int) -> Tensor:
    ends = torch.zeros(height + 1, dtype=torch.int64)
    torch.cumsum(torch.bincount(rows, minlength=height), 0, out=ends[1:])
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta state")
        return torch.sparse_csr_tensor(ends, columns, torch.ones(len(columns)), (height, width), check_invariants=False)


class _SparseProduct(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, matrix: Tensor, transposed: Tensor, atoms: Tensor) -> Tensor:
        ctx.transposed = transposed
        return matrix @ atoms

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, None, Tensor]:
        with torch.autocast("cpu", enabled=False):
            return None, None, ctx.transposed @ gradient.contiguous()


class _SparseSum(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        bonds: Tensor,
        bond_counts: Tensor,
        forward: Tensor,
        backward: Tensor,
        atoms: Tensor,
        embedding: Tensor,
    ) -> Tensor:
        ctx.matrices = bond_counts, backward
        return torch.addmm(atoms, bonds, embedding).addmm_(forward, atoms)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, None, None, None, Tensor, Tensor]:
        bond_counts, transposed = ctx.matrices
        gradient = gradient.contiguous()
        with torch.autocast("cpu", enabled=False):
            to_atoms = torch.addmm(gradient, transposed, gradient)
            return None, None, None, None, to_atoms, bond_counts.t() @ gradient
