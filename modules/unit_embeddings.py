"""Unit-length embeddings, their group means, and the checks that every function on them shares."""

import torch
from torch import Tensor
from torch.nn import functional


def unit_embeddings(embeddings: Tensor) -> Tensor:
    """Scale every vector to unit length, in fp32.

    Vectors shorter than about 1e-12 count as having no direction: they stay close to zero, and their gradient
    is of ordinary size.

    Args:
        embeddings: Floating point (..., d), of any precision.

    Returns:
        fp32 (..., d).
    """
    values = embeddings.float()
    # Direction does not depend on scale, so dividing by the largest entry first changes neither the result nor
    # its gradient; it keeps the squares inside fp32 and makes every usable row at least 1 long.
    fixed = values.detach()
    scale = torch.maximum(fixed.amax(dim=-1, keepdim=True), -fixed.amin(dim=-1, keepdim=True))
    scale = torch.where(scale < 1e-12, torch.ones_like(scale), scale)
    return functional.normalize(values / scale, dim=-1, eps=0.5)


def group_means(values: Tensor, groups: Tensor, num_groups: int) -> tuple[Tensor, Tensor]:
    """Compute the plain mean of the rows of each group.

    Args:
        values: Floating point (N, d).
        groups: int64 (N,) in 0..num_groups-1.
        num_groups: Number of groups.

    Returns:
        The means (num_groups, d), zero for a group without rows, and the row counts int64 (num_groups,).
    """
    counts = torch.bincount(groups, minlength=num_groups)
    sums = values.new_zeros(num_groups, values.shape[1]).index_add_(0, groups, values)
    return sums / counts.clamp(min=1).unsqueeze(1), counts


def check_rows(name: str, values: Tensor, classes: Tensor, num_classes: int) -> None:
    """Check that vectors are finite and that each has a valid class.

    Args:
        name: What to call the vectors in an error.
        values: Vectors (rows, d).
        classes: Class of each vector, (rows,).
        num_classes: Number of classes C.

    Raises:
        ValueError: Where a shape or dtype does not fit, there is no row, a class is outside 0..C-1, or a
            vector holds NaN or an infinite value; the last names the classes affected.
    """
    if num_classes < 1:
        raise ValueError(f"num_classes must be at least 1, got {num_classes}")
    if values.ndim != 2 or 0 in values.shape or not values.is_floating_point():
        raise ValueError(
            f"{name} must be floating point (rows, d) with at least one row and one column, "
            f"got {values.dtype} {tuple(values.shape)}"
        )
    if classes.shape != values.shape[:1] or classes.dtype != torch.int64:
        raise ValueError(
            f"the classes of {name} must be int64 of shape ({values.shape[0]},), "
            f"got {classes.dtype} {tuple(classes.shape)}"
        )
    lowest, highest = int(classes.min()), int(classes.max())
    if lowest < 0 or highest >= num_classes:
        raise ValueError(f"the classes of {name} must lie in 0..{num_classes - 1}, got {lowest}..{highest}")
    # A sum is finite only if all of it is, and much faster than a look at each number.
    if not bool(values.sum().isfinite()) and bool((broken := ~values.isfinite().all(dim=1)).any()):
        affected = sorted(set(classes[broken.to(classes.device)].tolist()))
        raise ValueError(
            f"{name} must be finite, got NaN or infinite values in {int(broken.sum())} rows of classes {affected}"
        )
