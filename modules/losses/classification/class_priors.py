"""Log priors, relative counts and normalized weights, computed from the class counts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from modules.losses.classification.classification_loss import ClassificationLoss

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


def removed_prior(loss: ClassificationLoss, weights: Tensor, class_counts: Tensor, shares: Tensor) -> float:
    """Strength of the prior that training removes from the logits: by the loss, by weights and by sampling.

    A loss with weights w_c learns the logits of a table with the frequencies ``n_c w_c``, and so does one that draws
    the classes in these shares. Weights of reclusters do not follow the class counts, and are left out.

    Args:
        loss: The loss.
        weights: Weights of the classes by their counts that the loss is given, fp32 (C,).
        class_counts: Training samples of each class, (C,).
        shares: Share of each class in the samples that are drawn, fp32 (C,).
    """
    weights, offsets = loss.weights_and_offsets(weights, class_counts)
    return loss.removed_prior + 1 - prior_slope((weights * shares).log() - offsets, class_counts)


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
