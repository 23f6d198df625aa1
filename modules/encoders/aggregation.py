"""Message aggregation: sums over the neighbors of each atom and over the atoms of each molecule."""

from __future__ import annotations

import functools
import importlib.util
import warnings
from types import ModuleType
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor


class NeighborSum:
    """Sum `sum_j h_j` over the neighbors j of each atom i of a batch.

    Uses a sparse CSR product on the CPU, where it is several times as fast as `index_add`, a kernel of its own on a GPU
    with Triton, and `index_add` elsewhere, also where `torch.compile` and `torch.export` have no sparse products. The
    sum is computed in float32.
    """

    def __init__(self, source: Tensor, target: Tensor, num_atoms: int) -> None:
        """Prepare the sum for the edges of a batch, without waiting for the device.

        Args:
            source: Source atom of each edge, int64 (E,).
            target: Target atom of each edge, int64 (E,), ascending.
            num_atoms: Number of atoms A.
        """
        self.source, self.target = source, target
        self.kernel = _kernel(source.device)
        if self.kernel is not None:
            self.rows = EdgeRows.of(source, target, num_atoms)
        elif _has_sparse_products(source.device):
            order = torch.argsort(source, stable=True)
            self.adjacency = _sparse_rows(target, source, num_atoms, num_atoms)
            self.transposed = _sparse_rows(source[order], target[order], num_atoms, num_atoms)

    def __call__(self, atoms: Tensor) -> Tensor:
        """Sum the vectors of the neighbors of each atom.

        Args:
            atoms: Vectors of the atoms, (A, h).

        Returns:
            (A, h), float32 or, from the kernel, the type of `atoms`, so that autocast moves half of the bytes.
        """
        if self.kernel is not None:
            return cast(Tensor, self.kernel.neighbor_sum(atoms, *self.rows))
        atoms = atoms.float()
        # Autocast would choose a 16-bit kernel, which sparse products do not have.
        with torch.autocast(atoms.device.type, enabled=False):
            if _has_sparse_products(atoms.device):
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
        return total.index_add(0, self.target, atoms[self.source])


class MessageSum:
    """Sum `h_i + sum_j (h_j + e_ij)` over the neighbors j of each atom i of a batch, with embeddings e of the bonds.

    Uses two sparse CSR products into the same array on the CPU, a kernel of its own on a GPU with Triton, and
    `index_add` elsewhere, as `NeighborSum` does.
    """

    def __init__(self, source: Tensor, target: Tensor, bond_codes: Tensor, num_atoms: int, num_bond_codes: int) -> None:
        """Prepare the sum for the edges of a batch, without waiting for the device.

        Args:
            source: Source atom of each edge, int64 (E,).
            target: Target atom of each edge, int64 (E,), ascending.
            bond_codes: Code of each edge's bond, integers (E,).
            num_atoms: Number of atoms A.
            num_bond_codes: Number of bond codes.
        """
        codes, device = bond_codes.long(), source.device
        # Unlike index_add, bincount waits for the device to learn the largest value.
        places, ones = target * num_bond_codes + codes, torch.ones(codes.shape[0], device=device)
        counts = torch.zeros(num_atoms * num_bond_codes, device=device).index_add_(0, places, ones)
        self._bond_counts = counts.view(num_atoms, num_bond_codes).to(working_type(device))
        self._neighbors = NeighborSum(source, target, num_atoms)
        self._codes = bond_codes
        if _has_sparse_products(device):
            self._bonds = _sparse_rows(target, codes, num_atoms, num_bond_codes)

    def __call__(self, atoms: Tensor, bond_embedding: Tensor) -> Tensor:
        """Sum the vectors of each atom, its neighbors and its bonds.

        Args:
            atoms: Vectors of the atoms, (A, h).
            bond_embedding: Embedding of each bond code, (num_bond_codes, h).

        Returns:
            (A, h), float32 or, from the kernel, the type of `atoms`, so that autocast moves half of the bytes.
        """
        neighbors = self._neighbors
        if neighbors.kernel is not None:
            starts, sources, starts_back, targets = neighbors.rows
            edges = starts, sources, self._codes, starts_back, targets, self._bond_counts
            return cast(Tensor, neighbors.kernel.message_sum(atoms, bond_embedding, *edges))
        atoms, bond_embedding, counts = atoms.float(), bond_embedding.float(), self._bond_counts.float()
        # Autocast would choose a 16-bit kernel, which sparse products do not have.
        with torch.autocast(atoms.device.type, enabled=False):
            if _has_sparse_products(atoms.device):
                matrices = self._bonds, counts, neighbors.adjacency, neighbors.transposed
                return cast(Tensor, _SparseSum.apply(*matrices, atoms, bond_embedding))  # type: ignore[no-untyped-call]
            return neighbors.add_to(torch.addmm(atoms, counts, bond_embedding), atoms)


def sum_by_molecule(atoms: Tensor, molecule_of_atom: Tensor, num_molecules: int) -> Tensor:
    """Sum the vectors of the atoms of each molecule.

    Args:
        atoms: Vectors of the atoms, (A, h).
        molecule_of_atom: Molecule of each atom, int64 (A,), ascending.
        num_molecules: Number of molecules M.

    Returns:
        float32 (M, h).
    """
    kernel = _kernel(atoms.device)
    if kernel is not None:
        starts = _starts(molecule_of_atom, num_molecules)
        return cast(Tensor, kernel.segment_sum(atoms, starts, molecule_of_atom))
    total = torch.zeros(num_molecules, atoms.shape[1], dtype=torch.float32, device=atoms.device)
    return total.index_add(0, molecule_of_atom, atoms.float())


def working_type(device: torch.device, without: torch.dtype = torch.float32) -> torch.dtype:
    """The type to which autocast lowers products on a GPU.

    Args:
        device: Device of the products.
        without: The result without autocast, and on other devices.
    """
    lowered = device.type == "cuda" and torch.is_autocast_enabled(device.type)
    return torch.get_autocast_dtype(device.type) if lowered else without


class EdgeRows(NamedTuple):
    """Edges in the order of their targets, and once more in the order of their sources, for the kernel.

    Views drop each direction of a bond on its own, so that neither order follows from the other.

    Attributes:
        starts: First edge into each atom, and the number of edges, int64 (A + 1,).
        sources: Source atom of each edge, ordered by target, int32 (E,).
        starts_back: First edge out of each atom, and the number of edges, int64 (A + 1,).
        targets: Target atom of each edge, ordered by source, int32 (E,).
    """

    starts: Tensor
    sources: Tensor
    starts_back: Tensor
    targets: Tensor

    @classmethod
    def of(cls, source: Tensor, target: Tensor, num_atoms: int) -> EdgeRows:
        """Order the edges of a batch; arguments as for `NeighborSum`."""
        ordered, order = source.int().sort(stable=True)
        targets = target.int().index_select(0, order)
        return cls(_starts(target, num_atoms), source.int(), _starts(ordered, num_atoms), targets)


def _starts(rows: Tensor, number: int) -> Tensor:
    return torch.searchsorted(rows, torch.arange(number + 1, dtype=rows.dtype, device=rows.device))


@functools.cache
def _kernel(device: torch.device) -> ModuleType | None:
    """The module of the kernel if it runs on the device; if it should but does not, a warning says why."""
    if device.type != "cuda" or importlib.util.find_spec("triton") is None:
        return None
    # Triton raises errors of many types, such as for a missing C compiler or an old device.
    try:
        from modules.encoders import message_kernel

        message_kernel.check(device)
    except Exception as error:
        lines = str(error).split("\n")
        warnings.warn(f"messages are summed slowly, since Triton fails on {device}: {lines[0]}", stacklevel=2)
        return None
    return message_kernel


def _has_sparse_products(device: torch.device) -> bool:
    return device.type == "cpu" and not torch.compiler.is_compiling()


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
