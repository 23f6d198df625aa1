"""Normalization of embeddings, group means, and checks of embeddings and their classes."""

import torch
from torch import Tensor
from torch.nn import functional


def unit_embeddings(embeddings: Tensor) -> Tensor:
    """Scale vectors to unit length, in fp32.

    Vectors shorter than about 1e-12 are not normalized: they stay close to zero, and their gradients stay bounded.

    Args:
        embeddings: Vectors, floating point (..., d), of any precision.

    Returns:
        Unit vectors, fp32 (..., d).
    """
    values = embeddings.float()
    # Dividing by the largest entry changes neither the direction nor its gradient, prevents overflow and underflow of
    # the squares, and makes the norm of every vector that is normalized at least 1.
    fixed = values.detach()
    scale = torch.maximum(fixed.amax(dim=-1, keepdim=True), -fixed.amin(dim=-1, keepdim=True))
    scale = torch.where(scale < 1e-12, torch.ones_like(scale), scale)
    return functional.normalize(values / scale, dim=-1, eps=0.5)


def group_sizes(groups: Tensor, num_groups: int) -> Tensor:
    """Count the members of each group, without waiting for a GPU as `torch.bincount` does.

    Args:
        groups: Group of each member, int64 (N,) in 0..num_groups-1.
        num_groups: Number of groups.

    Returns:
        int64 (num_groups,).
    """
    return groups.new_zeros(num_groups).index_add_(0, groups, torch.ones_like(groups))


def group_means(values: Tensor, groups: Tensor, num_groups: int) -> tuple[Tensor, Tensor]:
    """Compute the mean of the rows of each group.

    Args:
        values: Rows, floating point (N, d).
        groups: Group of each row, int64 (N,) in 0..num_groups-1.
        num_groups: Number of groups.

    Returns:
        Means, (num_groups, d), 0 for a group without rows, and numbers of rows, int64 (num_groups,).
    """
    counts = group_sizes(groups, num_groups)
    sums = values.new_zeros(num_groups, values.shape[1]).index_add_(0, groups, values)
    return sums / counts.clamp(min=1).unsqueeze(1), counts


def check_rows(name: str, values: Tensor, classes: Tensor, num_classes: int) -> None:
    """Check that vectors are finite and have valid classes.

    Args:
        name: Name of the vectors, for error messages.
        values: Vectors, (rows, d).
        classes: Class of each vector, (rows,).
        num_classes: Number of classes C.

    Raises:
        ValueError: If a shape or dtype is invalid, there are no rows, a class is outside 0..C-1, or a vector is not
            finite; in the last case the message names the affected classes.
    """
    if num_classes < 1:
        raise ValueError(f"num_classes: expected 1 or more, got {num_classes}.")
    if values.ndim != 2 or 0 in values.shape or not values.is_floating_point():
        raise ValueError(
            f"{name}: expected a non-empty floating-point tensor of shape (rows, d), "
            f"got {values.dtype} {tuple(values.shape)}."
        )
    if classes.shape != values.shape[:1] or classes.dtype != torch.int64:
        raise ValueError(
            f"classes of {name}: expected int64 of shape ({values.shape[0]},), "
            f"got {classes.dtype} {tuple(classes.shape)}."
        )
    lowest, highest = int(classes.min()), int(classes.max())
    if lowest < 0 or highest >= num_classes:
        raise ValueError(f"classes of {name}: expected values in 0..{num_classes - 1}, got {lowest}..{highest}.")
    # A finite sum implies finite values and is much faster to compute than an elementwise check.
    if not bool(values.sum().isfinite()) and bool((broken := ~values.isfinite().all(dim=1)).any()):
        affected = sorted(set(classes[broken.to(classes.device)].tolist()))
        raise ValueError(
            f"{name}: expected finite values, got NaN or infinity in {int(broken.sum())} rows of classes {affected}."
        )
