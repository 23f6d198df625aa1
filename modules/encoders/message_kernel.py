"""Sums over the rows of a sparse matrix in one Triton kernel each, for atoms on a GPU.

A row has the entries `starts[row]` to `starts[row + 1] - 1`. The sums read float32, bfloat16 or float16, add in
float32 in the order of the entries, and use no atomic operations, so that they are the same in every run.
"""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

_ROWS, _FEATURES, _WARPS = 16, 128, 4


@triton.jit(do_not_specialize=["number"])  # type: ignore[untyped-decorator]
def _sum_rows(  # type: ignore[no-untyped-def]  # noqa: ANN202
    values,  # noqa: ANN001
    starts,  # noqa: ANN001
    columns,  # noqa: ANN001
    table,  # noqa: ANN001
    codes,  # noqa: ANN001
    out,  # noqa: ANN001
    number,  # noqa: ANN001
    WIDTH: tl.constexpr,
    OWN: tl.constexpr,
    COLUMNS: tl.constexpr,
    TABLE: tl.constexpr,
    ROWS: tl.constexpr,
    FEATURES: tl.constexpr,
):
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    # A width known to the compiler tells it how many neighboring values one instruction may load.
    feature = tl.program_id(1) * FEATURES + tl.arange(0, FEATURES)
    real, inside = row < number, feature < WIDTH
    first = tl.load(starts + row, mask=real, other=0)
    degree = tl.load(starts + row + 1, mask=real, other=0) - first
    place = row.to(tl.int64)[:, None] * WIDTH + feature[None, :]
    within = real[:, None] & inside[None, :]
    total = tl.zeros((ROWS, FEATURES), dtype=tl.float32)
    if OWN:
        total += tl.load(values + place, mask=within, other=0.0).to(tl.float32)
    most = tl.max(degree, axis=0)
    step = 0
    while step < most:
        entry, present = first + step, step < degree
        both = present[:, None] & inside[None, :]
        if COLUMNS:  # noqa: SIM108
            column = tl.load(columns + entry, mask=present, other=0).to(tl.int64)
        else:
            column = entry.to(tl.int64)
        total += tl.load(values + column[:, None] * WIDTH + feature[None, :], mask=both, other=0.0).to(tl.float32)
        if TABLE:
            code = tl.load(codes + entry, mask=present, other=0).to(tl.int32)
            total += tl.load(table + code[:, None] * WIDTH + feature[None, :], mask=both, other=0.0).to(tl.float32)
        step += 1
    tl.store(out + place, total.to(out.dtype.element_ty), mask=within)


@torch.library.custom_op("tailmol::row_sums", mutates_args=())
def row_sums(
    values: Tensor,
    starts: Tensor,
    columns: Tensor | None,
    table: Tensor | None,
    codes: Tensor | None,
    own: bool,
    in_float32: bool,
) -> Tensor:
    """Compute `own * values[i] + sum_e (values[columns[e]] + table[codes[e]])` over the entries e of each row i.

    It has no gradient.

    Args:
        values: Vectors to sum, (N, h).
        starts: First entry of each row, and the end of the last one, integers (R + 1,).
        columns: The vector of each entry, integers (E,); None if these are the vectors in their order.
        table: Vectors that the entries add, (K, h); None for none.
        codes: Row of `table` of each entry, integers (E,); None without `table`.
        own: Whether the vector of the row itself is added.
        in_float32: Whether the sums are returned in float32 and not in the type of the values.

    Returns:
        (R, h).
    """
    number, width = len(starts) - 1, values.shape[1]
    values = values.contiguous()
    out = values.new_empty((number, width), dtype=torch.float32 if in_float32 else values.dtype)
    if number == 0:
        return out
    table = None if table is None else table.contiguous()
    features = min(_FEATURES, triton.next_power_of_2(width))
    grid = triton.cdiv(number, _ROWS), triton.cdiv(width, features)
    # The kernel does not touch the stand-ins for what is absent.
    pointers = values, starts, starts if columns is None else columns, values if table is None else table
    with _device_of(values):
        _sum_rows[grid](
            *pointers,
            starts if codes is None else codes,
            out,
            number,
            WIDTH=width,
            OWN=own,
            COLUMNS=columns is not None,
            TABLE=table is not None,
            ROWS=_ROWS,
            FEATURES=features,
            num_warps=_WARPS,
        )
    return out


@row_sums.register_fake
def _(
    values: Tensor,
    starts: Tensor,
    columns: Tensor | None,
    table: Tensor | None,
    codes: Tensor | None,
    own: bool,
    in_float32: bool,
) -> Tensor:
    size = starts.shape[0] - 1, values.shape[1]
    return values.new_empty(size, dtype=torch.float32 if in_float32 else values.dtype)


@torch.library.custom_op("tailmol::message_sum", mutates_args=())
def message_sum(
    atoms: Tensor,
    bond_embedding: Tensor,
    starts: Tensor,
    sources: Tensor,
    codes: Tensor,
    starts_back: Tensor,
    targets: Tensor,
    bond_counts: Tensor,
) -> Tensor:
    """Compute `h_i + sum_j (h_j + e_ij)` over the neighbors j of each atom i.

    Args:
        atoms: Vectors h of the atoms, (A, h).
        bond_embedding: Vector e of each bond code, (K, h).
        starts: First edge into each atom, and the number of edges, integers (A + 1,).
        sources: Source atom of each edge, ordered by target, integers (E,).
        codes: Bond code of each edge, ordered by target, integers (E,).
        starts_back: First edge out of each atom, and the number of edges, integers (A + 1,).
        targets: Target atom of each edge, ordered by source, integers (E,).
        bond_counts: Number of edges of each bond code into each atom, (A, K).

    Returns:
        (A, h) in the type of `atoms`.
    """
    total: Tensor = row_sums(atoms, starts, sources, bond_embedding, codes, True, False)
    return total


@message_sum.register_fake
def _(atoms: Tensor, *others: Tensor) -> Tensor:
    return atoms.new_empty(atoms.shape)


def _keep_for_messages(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
    _, bond_embedding, *_, starts_back, targets, bond_counts = inputs
    ctx.save_for_backward(starts_back, targets, bond_counts)
    ctx.table_type = bond_embedding.dtype


def _messages_backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
    starts_back, targets, bond_counts = ctx.saved_tensors
    to_atoms = row_sums(gradient, starts_back, targets, None, None, True, False)
    to_bonds = (bond_counts.to(gradient.dtype).t() @ gradient).to(ctx.table_type)
    return to_atoms, to_bonds, None, None, None, None, None, None


message_sum.register_autograd(_messages_backward, setup_context=_keep_for_messages)


@torch.library.custom_op("tailmol::neighbor_sum", mutates_args=())
def neighbor_sum(atoms: Tensor, starts: Tensor, sources: Tensor, starts_back: Tensor, targets: Tensor) -> Tensor:
    """Compute `sum_j h_j` over the neighbors j of each atom; arguments and result as for `message_sum`."""
    total: Tensor = row_sums(atoms, starts, sources, None, None, False, False)
    return total


@neighbor_sum.register_fake
def _(atoms: Tensor, *others: Tensor) -> Tensor:
    return atoms.new_empty(atoms.shape)


def _keep_for_neighbors(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
    ctx.save_for_backward(*inputs[3:])


def _neighbors_backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
    return row_sums(gradient, *ctx.saved_tensors, None, None, False, False), None, None, None, None


neighbor_sum.register_autograd(_neighbors_backward, setup_context=_keep_for_neighbors)


@torch.library.custom_op("tailmol::segment_sum", mutates_args=())
def segment_sum(atoms: Tensor, starts: Tensor, molecule_of_atom: Tensor) -> Tensor:
    """Sum the vectors of the atoms of each molecule.

    Args:
        atoms: Vectors of the atoms, those of a molecule one after the other, (A, h).
        starts: First atom of each molecule, and the number of atoms, integers (M + 1,).
        molecule_of_atom: Molecule of each atom, integers (A,).

    Returns:
        float32 (M, h).
    """
    total: Tensor = row_sums(atoms, starts, None, None, None, False, True)
    return total


@segment_sum.register_fake
def _(atoms: Tensor, starts: Tensor, molecule_of_atom: Tensor) -> Tensor:
    return atoms.new_empty((starts.shape[0] - 1, atoms.shape[1]), dtype=torch.float32)


def _keep_for_segments(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
    atoms, _, molecule_of_atom = inputs
    ctx.save_for_backward(molecule_of_atom)
    ctx.type = atoms.dtype


def _segments_backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
    return gradient.to(ctx.type).index_select(0, ctx.saved_tensors[0]), None, None


segment_sum.register_autograd(_segments_backward, setup_context=_keep_for_segments)


def _device_of(values: Tensor) -> Any:
    # Triton launches on the current device, which need not be that of the values.
    return torch.cuda.device(values.device if values.is_cuda else -1)


def check(device: torch.device) -> None:
    """Compile the kernel and run it once.

    Args:
        device: A CUDA device.

    Raises:
        RuntimeError: If the sums are wrong; Triton raises errors of many other types.
    """
    ones, starts = torch.ones(2, 4, device=device), torch.arange(3, device=device)
    if not torch.equal(row_sums(ones, starts, None, None, None, True, True), 2 * ones):
        raise RuntimeError("its sums are wrong.")
