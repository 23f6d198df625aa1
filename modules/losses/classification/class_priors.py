"""What the losses make of the class counts: log priors, margins and weights."""

import torch
from torch import Tensor

EXCLUDED_LOGIT = -1e6
"""Logit of a class that takes no part: its softmax is exactly 0 in fp32, its loss finite."""


def exclude_unseen(logits: Tensor, class_counts: Tensor) -> Tensor:
    """Leave classes without training samples out of the softmax, as a prior of 0 does.

    Args:
        logits: (B, C).
        class_counts: (C,).
    """
    return logits.masked_fill(class_counts == 0, EXCLUDED_LOGIT)


def log_priors(class_counts: Tensor) -> Tensor:
    """Compute the logarithm of each class's share of the training samples.

    Args:
        class_counts: (C,).

    Returns:
        fp32 (C,); that of a single sample for a class without any, which `exclude_unseen` leaves out.
    """
    counts = class_counts.float()
    return counts.clamp(min=1).log() - counts.sum().clamp(min=1).log()


def relative_counts(class_counts: Tensor) -> Tensor:
    """Compute each class's count over the largest, fp32 (C,) in 0..1; of a single sample for a class without any."""
    counts = class_counts.float().clamp(min=1)
    return counts / counts.max()


def normalized_weights(weights: Tensor, class_counts: Tensor) -> Tensor:
    """Scale weights to a mean of 1 over the classes with samples, and to 0 for the others.

    Args:
        weights: (C,), positive.
        class_counts: (C,).
    """
    seen = class_counts > 0
    kept = torch.where(seen, weights, torch.zeros_like(weights))
    return kept * seen.sum() / kept.sum().clamp(min=torch.finfo(kept.dtype).tiny)
