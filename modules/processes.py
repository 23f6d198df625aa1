"""What the processes of a distributed run do together; a process on its own does it alone."""

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
