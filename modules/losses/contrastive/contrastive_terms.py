"""Functions shared by the contrastive losses."""

from typing import Any

import torch
from torch import Tensor

from base.ranges import check_positive
from modules.unit_embeddings import unit_embeddings


def check_contrastive_settings(temperature: float, base_temperature: float) -> None:
    """Check the settings common to all contrastive losses.

    Args:
        temperature: Divisor of the cosine similarities.
        base_temperature: Divisor of the scale of the loss.

    Raises:
        ValueError: If a temperature is not positive and finite.
    """
    check_positive("temperature", temperature)
    check_positive("base_temperature", base_temperature)


def check_views(views: Tensor, **per_sample: Tensor) -> None:
    """Check the inputs of a contrastive loss.

    Args:
        views: Projections, floating point (B, V, d).
        **per_sample: Tensors of shape (B,) by name.

    Raises:
        ValueError: If a shape is invalid or the views are not floating point.
    """
    if views.ndim != 3 or 0 in views.shape or not views.is_floating_point():
        raise ValueError(
            "views: expected a non-empty floating-point tensor of shape (B, V, d), "
            f"got {views.dtype} {tuple(views.shape)}."
        )
    for name, values in per_sample.items():
        if values.shape != views.shape[:1]:
            raise ValueError(f"{name}: expected shape ({views.shape[0]},), got {tuple(values.shape)}.")


def pairwise_similarity(views: Tensor) -> Tensor:
    """Compute the cosine similarities between all views of all samples.

    Args:
        views: Projections, floating point (B, V, d).

    Returns:
        fp32 (B*V, B*V); the views of a sample are adjacent.
    """
    anchors = unit_embeddings(views).flatten(0, 1)
    return anchors @ anchors.T


def same_sample(samples: int, views: int, device: torch.device) -> Tensor:
    """Mask of the pairs of anchors that are views of the same sample.

    Args:
        samples: Number of samples B.
        views: Number of views V.
        device: Device of the mask.

    Returns:
        bool (B*V, B*V).
    """
    owners = torch.arange(samples, device=device).repeat_interleave(views)
    return owners.unsqueeze(1) == owners.unsqueeze(0)


def contrastive_term(
    similarity: Tensor,
    positives: Tensor,
    denominators: Tensor,
    temperatures: Tensor | float,
    log_sizes: Tensor | None = None,
    anchor_weights: Tensor | None = None,
) -> Tensor:
    """Average the contrastive loss over the anchors that have a positive.

    For anchor a, with positives P_a inside denominators D_a and temperature t_a:
    ``-1/|P_a| * sum_{p in P_a} log( exp(z_a.z_p / t_a) / sum_{k in D_a} exp(z_a.z_k / t_a) )``
    (Khosla et al., 2020, arXiv 2004.11362, equation 2).

    Args:
        similarity: Similarities z_a.z_k, fp32 (anchors, columns). The first columns are the anchors; others may follow.
        positives: P_a as a bool mask, (anchors, columns), or as weights whose sum is 0 or at least 1 for each anchor.
        denominators: D_a as a bool mask, (anchors, columns); contains all positives.
        temperatures: Temperature of all anchors, or of each, (anchors, 1).
        log_sizes: Logarithm of a divisor of each term of the denominator, (anchors, columns); 0 if None.
        anchor_weights: Factor of each anchor's loss, (anchors, 1); 1 if None.

    Returns:
        fp32 scalar; a zero that is connected to the graph if no anchor has a positive.
    """
    value: Tensor = _ContrastiveTerm.apply(  # type: ignore[no-untyped-call]
        similarity, positives, denominators, temperatures, log_sizes, anchor_weights
    )
    return value


class _ContrastiveTerm(torch.autograd.Function):
    """Value and gradient in one pass, which reads the matrix half as often as autograd would."""

    @staticmethod
    def forward(
        ctx: Any,
        similarity: Tensor,
        positives: Tensor,
        denominators: Tensor,
        temperatures: Tensor | float,
        log_sizes: Tensor | None,
        anchor_weights: Tensor | None,
    ) -> Tensor:
        positive_counts = positives.sum(dim=1, keepdim=True)
        usable = positive_counts > 0
        number = usable.sum().clamp(min=1)
        # A full denominator keeps the loss of anchors without positives finite; it is multiplied by 0 below.
        terms = (similarity / temperatures).masked_fill_(~(denominators | ~usable), float("-inf"))
        # Subtracting the maximum preserves precision at low temperatures and does not change the loss.
        terms -= terms.amax(dim=1, keepdim=True)
        shares = positives / positive_counts.clamp(min=1)
        positive_logits = (terms * shares).masked_fill_(shares == 0, 0.0).sum(dim=1, keepdim=True)
        if log_sizes is not None:
            terms -= log_sizes
        sums = terms.exp_().sum(dim=1, keepdim=True)
        factors = usable if anchor_weights is None else usable * anchor_weights
        losses = (sums.log() - positive_logits) * factors
        # The gradient is the softmax minus the shares of the positives.
        ctx.save_for_backward(terms.div_(sums).sub_(shares).mul_(factors / (number * temperatures)))
        return losses.sum() / number

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None, None, None]:
        (slope,) = ctx.saved_tensors
        return gradients[0] * slope, None, None, None, None, None


def group_term(similarity: Tensor, groups: Tensor, temperature: float) -> Tensor:
    """Contrastive term whose positives are the other anchors of the same group, against all other anchors.

    Args:
        similarity: Cosine similarities, fp32 (anchors, anchors).
        groups: Class or sub-cluster of each anchor, int64 (anchors,).
        temperature: Temperature of all anchors.

    Returns:
        fp32 scalar.
    """
    others = ~torch.eye(len(groups), dtype=torch.bool, device=groups.device)
    same_group = groups.unsqueeze(1) == groups.unsqueeze(0)
    return contrastive_term(similarity, same_group & others, others, temperature)
