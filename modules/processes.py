"""What the processes of a distributed run do together; a process on its own does it alone."""

import torch
from torch import Tensor, distributed


def rank_and_world_size() -> tuple[int, int]:
    """This process's number and how many there are."""
    if not (distributed.is_available() and distributed.is_initialized()):
        return 0, 1
    return distributed.get_rank(), distributed.get_world_size()


def sum_over_processes(values: Tensor) -> Tensor:
    """Add up a tensor over all processes, in place.

    Args:
        values: Of one shape and dtype on all processes, on a device that they can send from.

    Returns:
        `values`, now the sum on every process.
    """
    if rank_and_world_size()[1] > 1:
        distributed.all_reduce(values)
    return values


def broadcast_from_first(values: Tensor) -> Tensor:
    """Replace a tensor by the first process's, in place, so that rounding cannot make processes differ.

    Args:
        values: Of one shape and dtype on all processes, on a device that they can send from.

    Returns:
        `values`, now the first process's.
    """
    if rank_and_world_size()[1] > 1:
        distributed.broadcast(values, 0)
    return values


def gather_rows(values: Tensor) -> Tensor:
    """Put the rows of all processes one after the other, with gradients; their numbers may differ.

    Every process is taken to compute the same loss from the result and to average gradients with the others, as DDP
    does; then the average is the gradient of that loss once.

    Args:
        values: (rows, ...), the same number of dimensions and later sizes on all processes.

    Returns:
        (all rows, ...), the same on all processes.
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
        # The difference is zero; its gradient is not.
        pieces[rank] = values.detach() + processes * (values - values.detach())
    return torch.cat(pieces)
