"""Collective operations, which do nothing in a run with a single process."""

from typing import Any

import torch
from torch import Tensor, distributed


def rank_and_world_size() -> tuple[int, int]:
    """Rank of this process and number of processes."""
    if not (distributed.is_available() and distributed.is_initialized()):
        return 0, 1
    return distributed.get_rank(), distributed.get_world_size()


def sum_over_processes(values: Tensor) -> Tensor:
    """Sum a tensor over all processes, in place.

    Args:
        values: Tensor of the same shape and dtype on all processes, on a device that the backend supports.

    Returns:
        `values`, which holds the sum on every process.
    """
    if rank_and_world_size()[1] > 1:
        distributed.all_reduce(values)
    return values


def broadcast_from_first(values: Tensor) -> Tensor:
    """Broadcast a tensor of the first process, in place, so that rounding errors do not differ between processes.

    Args:
        values: Tensor of the same shape and dtype on all processes, on a device that the backend supports.

    Returns:
        `values`, which holds the tensor of the first process.
    """
    if rank_and_world_size()[1] > 1:
        distributed.broadcast(values, 0)
    return values


def gather_rows(values: Tensor, counts: list[int] | None = None) -> Tensor:
    """Concatenate the rows of all processes, with gradients; the number of rows may differ between processes.

    Gradients are summed over processes on their way back, so if one process computes gradients through the result, all
    must. If gradients of parameters are then averaged over processes, as DDP does, they are those of the mean of the
    processes' losses.

    Args:
        values: Tensor (rows, ...), of the same shape on all processes except for the number of rows.
        counts: The `row_counts` of the tensor, if they are known; None asks all processes for them.

    Returns:
        Tensor (all rows, ...), equal on all processes.
    """
    if rank_and_world_size()[1] == 1:
        return values
    gathered: Tensor = _GatherRows.apply(values, counts or row_counts(values))  # type: ignore[no-untyped-call]
    return gathered


def row_counts(values: Tensor) -> list[int]:
    """Number of rows of each process, in the order in which `gather_rows` concatenates them."""
    processes = rank_and_world_size()[1]
    if processes == 1:
        return [len(values)]
    counts = [torch.zeros(1, dtype=torch.int64, device=values.device) for _ in range(processes)]
    distributed.all_gather(counts, torch.tensor([len(values)], device=values.device))
    found: list[int] = torch.cat(counts).tolist()
    return found


class _GatherRows(torch.autograd.Function):
    """`gather_rows` of several processes with known numbers of rows."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, counts: list[int]) -> Tensor:
        rank, processes = rank_and_world_size()
        ctx.first, ctx.rows = sum(counts[:rank]), counts[rank]
        # all_gather needs equal shapes.
        padded = values.new_zeros(max(counts), *values.shape[1:])
        padded[: len(values)] = values
        shares = [torch.empty_like(padded) for _ in range(processes)]
        distributed.all_gather(shares, padded)
        return torch.cat([share[:count] for share, count in zip(shares, counts, strict=True)])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        summed = sum_over_processes(gradients[0].clone(memory_format=torch.contiguous_format))
        return summed[ctx.first : ctx.first + ctx.rows], None


def add_shares(share: Tensor) -> Tensor:
    """Add up the parts of a loss that the processes computed.

    Args:
        share: Part of this process, floating-point scalar.

    Returns:
        The loss, equal on all processes. Its gradient is that of `share`, multiplied by the number of processes, which
        averaging over processes, as DDP does, divides by.
    """
    processes = rank_and_world_size()[1]
    if processes == 1:
        return share
    fixed = share.detach()
    return sum_over_processes(fixed.clone()) + processes * (share - fixed)


def leave_processes() -> None:
    """End the work in common of all processes, after which each is on its own; must be called on all of them.

    Without it, a thread of gloo may still hold tensors while the interpreter of its process ends, which aborts the
    process now and then (https://github.com/pytorch/pytorch/pull/179291).
    """
    if rank_and_world_size()[1] > 1:
        distributed.barrier()
    if distributed.is_available() and distributed.is_initialized():
        distributed.destroy_process_group()
