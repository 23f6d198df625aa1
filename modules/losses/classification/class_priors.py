"""Log priors, relative counts and normalized weights, computed from the class counts."""

import torch
from torch import Tensor

EXCLUDED_LOGIT = -1e6
"""Logit of a class excluded from the softmax: its probability is exactly 0 in fp32 and its loss is finite."""


def exclude_unseen(logits: Tensor, class_counts: Tensor) -> Tensor:
    """Exclude classes without training samples from the softmax, as a prior of 0 does.

    Args:
        logits: Logits, (B, C).
        class_counts: Training samples of each class, (C,).

    Returns:
        Logits, (B, C).
    """
    return logits.masked_fill(class_counts == 0, EXCLUDED_LOGIT)


def log_priors(class_counts: Tensor) -> Tensor:
    """Compute the logarithm of each class's share of the training samples.

    Args:
        class_counts: Training samples of each class, (C,).

    Returns:
        fp32 (C,). A class without samples gets the value of a class with one; `exclude_unseen` excludes it.
    """
    counts = class_counts.float()
    return counts.clamp(min=1).log() - counts.sum().clamp(min=1).log()


def prior_slope(values: Tensor, class_counts: Tensor) -> float:
    """The multiple of the log priors that is nearest to values of the classes, up to a constant (least squares).

    Args:
        values: A value of each class, (C,).
        class_counts: Training samples of each class, (C,); classes without any are left out.

    Returns:
        The slope; 0 if all classes have the same number of samples.
    """
    seen = class_counts > 0
    both = log_priors(class_counts)[seen].double(), values[seen].double()
    priors, centered = (one - one.mean() for one in both)
    return float((priors * centered).sum() / priors.square().sum().clamp(min=1e-12))


def relative_counts(class_counts: Tensor) -> Tensor:
    """Divide each class's count by the largest count.

    Args:
        class_counts: Training samples of each class, (C,).

    Returns:
        fp32 (C,) in (0, 1]. A class without samples gets the value of a class with one.
    """
    counts = class_counts.float().clamp(min=1)
    return counts / counts.max()


def normalized_weights(weights: Tensor, class_counts: Tensor) -> Tensor:
    """Scale weights to a mean of 1 over the classes with samples, and to 0 for the others.

    Args:
        weights: Positive weights, (C,).
        class_counts: Training samples of each class, (C,).

    Returns:
        Weights, (C,).
    """
    seen = class_counts > 0
    kept = torch.where(seen, weights, torch.zeros_like(weights))
    return kept * seen.sum() / kept.sum().clamp(min=torch.finfo(kept.dtype).tiny)
