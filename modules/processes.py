"""Collective operations, which do nothing in a run with a single process."""

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


def gather_rows(values: Tensor) -> Tensor:
    """Concatenate the rows of all processes, with gradients; the number of rows may differ between processes.

    Every process must compute the same loss from the result, and gradients must be averaged over processes, as DDP
    does. The averaged gradient is then the gradient of this loss.

    Args:
        values: Tensor (rows, ...), of the same shape on all processes except for the number of rows.

    Returns:
        Tensor (all rows, ...), equal on all processes.
    """
    rank, processes = rank_and_world_size()
    if processes == 1:
        return values
    sizes = [torch.zeros(1, dtype=torch.int64, device=values.device) for _ in range(processes)]
    distributed.all_gather(sizes, torch.tensor([len(values)], device=values.device))
    counts = [int(size) for size in sizes]
    # all_gather needs equal shapes.
    padded = values.new_zeros(max(counts), *values.shape[1:])
    padded[: len(values)] = values.detach()
    shares = [torch.empty_like(padded) for _ in range(processes)]
    distributed.all_gather(shares, padded)
    pieces = [share[:count] for share, count in zip(shares, counts, strict=True)]
    if values.requires_grad:
        # Adds zero, but multiplies the gradient by the number of processes, which averaging divides by.
        pieces[rank] = values.detach() + processes * (values - values.detach())
    return torch.cat(pieces)


def leave_processes() -> None:
    """End the work in common of all processes, after which each is on its own; must be called on all of them."""
    if rank_and_world_size()[1] > 1:
        distributed.barrier()
    if distributed.is_available() and distributed.is_initialized():
        distributed.destroy_process_group()
