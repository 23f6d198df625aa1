"""Sums over the neighbors of each atom, and over the atoms of each molecule."""

from __future__ import annotations

import warnings
from typing import Any, cast

import torch
from torch import Tensor


class NeighborSum:
    """The directed bonds of one batch: `sum_j h_j` over the neighbors j of each atom i.

    On a CPU a sparse CSR product, several times as fast as adding edge by edge; elsewhere `index_add`.
    """

    def __init__(self, source: Tensor, target: Tensor, num_atoms: int) -> None:
        """Lay out the edges.

        Args:
            source: (E,) int64.
            target: (E,) int64, ascending.
            num_atoms: A.
        """
        self._source, self._target = source, target
        if source.device.type == "cpu":
            order = torch.argsort(source, stable=True)
            self.adjacency = _sparse_rows(target, source, num_atoms, num_atoms)
            self.transposed = _sparse_rows(source[order], target[order], num_atoms, num_atoms)

    def __call__(self, atoms: Tensor) -> Tensor:
        """Sum over incoming edges.

        Args:
            atoms: (A, h).

        Returns:
            (A, h) float32.
        """
        atoms = atoms.float()
        # Sparse products have no 16-bit kernel, which autocast would choose.
        with torch.autocast(atoms.device.type, enabled=False):
            if atoms.device.type == "cpu":
                return cast(Tensor, _SparseProduct.apply(self.adjacency, self.transposed, atoms))  # type: ignore[no-untyped-call]
            return self.add_to(torch.zeros_like(atoms), atoms)

    def add_to(self, total: Tensor, atoms: Tensor) -> Tensor:
        """`total_i + sum_j h_j`, edge by edge, which any device can do; both (A, h)."""
        return total.index_add(0, self._target, atoms[self._source])


class MessageSum:
    """The bonds of one batch: `h_i + sum_j (h_j + e_ij)` over the neighbors j of each atom i.

    On a CPU two sparse CSR products into one array; elsewhere `index_add`.
    """

    def __init__(self, source: Tensor, target: Tensor, bond_codes: Tensor, num_atoms: int, num_bond_codes: int) -> None:
        """Lay out the edges.

        Args:
            source: (E,) int64.
            target: (E,) int64, ascending.
            bond_codes: (E,) integers.
            num_atoms: A.
            num_bond_codes: C.
        """
        codes = bond_codes.long()
        counts = torch.bincount(target * num_bond_codes + codes, minlength=num_atoms * num_bond_codes)
        self._bond_counts = counts.view(num_atoms, num_bond_codes).float()
        self._neighbors = NeighborSum(source, target, num_atoms)
        if source.device.type == "cpu":
            self._bonds = _sparse_rows(target, codes, num_atoms, num_bond_codes)

    def __call__(self, atoms: Tensor, bond_embedding: Tensor) -> Tensor:
        """Sum over incoming edges.

        Args:
            atoms: (A, h).
            bond_embedding: (C, h), a vector for each bond code.

        Returns:
            (A, h) float32.
        """
        atoms, bond_embedding = atoms.float(), bond_embedding.float()
        # Sparse products have no 16-bit kernel, which autocast would choose.
        with torch.autocast(atoms.device.type, enabled=False):
            if atoms.device.type == "cpu":
                neighbors = self._neighbors
                matrices = self._bonds, self._bond_counts, neighbors.adjacency, neighbors.transposed
                return cast(Tensor, _SparseSum.apply(*matrices, atoms, bond_embedding))  # type: ignore[no-untyped-call]
            return self._neighbors.add_to(torch.addmm(atoms, self._bond_counts, bond_embedding), atoms)


def sum_by_molecule(atoms: Tensor, molecule_of_atom: Tensor, num_molecules: int) -> Tensor:
    """Sum atoms into molecules.

    Args:
        atoms: (A, h).
        molecule_of_atom: (A,) int64.
        num_molecules: M.

    Returns:
        (M, h) float32.
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
