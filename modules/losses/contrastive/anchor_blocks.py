"""Contrastive losses in blocks of anchors, so that the similarities of all anchors with all keys are never kept."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

BlockLoss = Callable[[Tensor, slice], Tensor]
"""Loss of n anchors, fp32 scalar, by their similarities with all columns, (n, columns), and their rows among these."""

# On a CPU a block stays in the cache of a core; on a GPU large ones are faster and bound the memory.
_SIMILARITIES_ON_CPU = 2**18
_SIMILARITIES_ELSEWHERE = 2**24


def anchor_blocks(columns: Tensor, rows: slice) -> Iterator[slice]:
    """Divide the anchors into blocks whose similarities with all columns are few enough.

    Args:
        columns: What the anchors are compared with, (columns, ...).
        rows: Rows of the anchors among the columns.

    Yields:
        The rows of each block.
    """
    on_cpu = columns.device.type == "cpu"
    size = max(1, (_SIMILARITIES_ON_CPU if on_cpu else _SIMILARITIES_ELSEWHERE) // max(1, len(columns)))
    first, end, _ = rows.indices(len(columns))
    for start in range(first, end, size):
        yield slice(start, min(start + size, end))


def sum_over_blocks(columns: Tensor, rows: slice, loss: BlockLoss) -> Tensor:
    """Add up the losses of blocks of anchors.

    Value and gradient of a block are computed together, and only the gradient of the columns is kept, so that the
    memory is proportional to the number of columns and not to that of pairs.

    Args:
        columns: Unit vectors that anchors are compared with, fp32 (columns, d): all keys, and others such as class
            centers behind them.
        rows: Rows of the anchors among the columns.
        loss: Loss of a block; the sum over all blocks is the value.

    Returns:
        fp32 scalar that is connected to the graph of the columns.
    """
    value: Tensor = _SumOverBlocks.apply(columns, rows, loss)  # type: ignore[no-untyped-call]
    return value


class _SumOverBlocks(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, columns: Tensor, rows: slice, loss: BlockLoss) -> Tensor:
        (learns, *_) = ctx.needs_input_grad
        value, gradient = columns.new_zeros(()), torch.zeros_like(columns)
        for block in anchor_blocks(columns, rows):
            anchors = columns[block]
            similarity = (anchors @ columns.T).requires_grad_(learns)
            with torch.set_grad_enabled(learns):
                part = loss(similarity, block)
            value += part.detach()
            if learns:
                (slope,) = torch.autograd.grad(part, similarity)
                gradient.addmm_(slope.T, anchors)
                gradient[block].addmm_(slope, columns)
        ctx.save_for_backward(gradient)
        return value

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (gradient,) = ctx.saved_tensors
        return gradients[0] * gradient, None, None
