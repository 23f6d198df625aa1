"""The pieces that the contrastive losses are made of."""

from typing import Any

import torch
from torch import Tensor

from modules.unit_embeddings import unit_embeddings


def check_contrastive_settings(temperature: float, base_temperature: float) -> None:
    """Check the settings that all contrastive losses have.

    Raises:
        ValueError: Where a temperature is not positive and finite.
    """
    for name, value in (("temperature", temperature), ("base_temperature", base_temperature)):
        if not 0 < value < float("inf"):
            raise ValueError(f"{name} must be positive and finite, got {value}")


def check_views(views: Tensor, **per_sample: Tensor) -> None:
    """Check the inputs of a contrastive loss.

    Args:
        views: Expected floating point (B, V, d).
        **per_sample: Tensors expected as (B,), by name.

    Raises:
        ValueError: Where a shape does not fit or the views are not floating point.
    """
    if views.ndim != 3 or 0 in views.shape or not views.is_floating_point():
        raise ValueError(
            f"views must be floating point (B, V, d) with no size of 0, got {views.dtype} {tuple(views.shape)}"
        )
    for name, values in per_sample.items():
        if values.shape != views.shape[:1]:
            raise ValueError(f"{name} must have shape ({views.shape[0]},), got {tuple(values.shape)}")


def pairwise_similarity(views: Tensor) -> Tensor:
    """Compute the cosine similarity of all views of all samples.

    Args:
        views: (B, V, d).

    Returns:
        fp32 (B*V, B*V); the views of a sample are neighbors.
    """
    anchors = unit_embeddings(views).flatten(0, 1)
    return anchors @ anchors.T


def same_sample(samples: int, views: int, device: torch.device) -> Tensor:
    """Which anchors are views of one sample, bool (samples * views, samples * views)."""
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
        similarity: z_a.z_k, fp32 (anchors, columns); the columns are the anchors, or more than these.
        positives: P_a as a bool mask, (anchors, columns), or weights that add up to 0, or 1 or more, for each anchor.
        denominators: D_a as a bool mask, (anchors, columns); holds every positive.
        temperatures: One for all anchors, or (anchors, 1).
        log_sizes: Logarithms of what each term of the denominator is divided by, (anchors, columns); 0 if None.
        anchor_weights: Factors of the anchors' losses before the average, (anchors, 1); 1 if None.

    Returns:
        Scalar; a zero that is connected to the graph where no anchor has a positive.
    """
    value: Tensor = _ContrastiveTerm.apply(  # type: ignore[no-untyped-call]
        similarity, positives, denominators, temperatures, log_sizes, anchor_weights
    )
    return value


class _ContrastiveTerm(torch.autograd.Function):
    """The value and its gradient in one go: half of the passes over the matrix that autograd would make."""

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
        # An anchor without positives may have an empty denominator: let it see every logit and drop its finite value.
        terms = (similarity / temperatures).masked_fill_(~(denominators | ~usable), float("-inf"))
        # Only differences of logits matter: measured from the largest one they keep their digits at low temperatures.
        terms -= terms.amax(dim=1, keepdim=True)
        shares = positives / positive_counts.clamp(min=1)
        positive_logits = (terms * shares).masked_fill_(shares == 0, 0.0).sum(dim=1, keepdim=True)
        if log_sizes is not None:
            terms -= log_sizes
        sums = terms.exp_().sum(dim=1, keepdim=True)
        factors = usable if anchor_weights is None else usable * anchor_weights
        losses = (sums.log() - positive_logits) * factors
        # From here on the gradient: softmax less the shares of the positives.
        ctx.save_for_backward(terms.div_(sums).sub_(shares).mul_(factors / (number * temperatures)))
        return losses.sum() / number

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None, None, None]:
        (slope,) = ctx.saved_tensors
        return gradients[0] * slope, None, None, None, None, None


def group_term(similarity: Tensor, groups: Tensor, temperature: float) -> Tensor:
    """Contrast each anchor's group with all other anchors.

    Args:
        similarity: fp32 (anchors, anchors).
        groups: Sub-cluster or class of each anchor, (anchors,).
        temperature: Temperature of all anchors.

    Returns:
        Scalar.
    """
    others = ~torch.eye(len(groups), dtype=torch.bool, device=groups.device)
    same_group = groups.unsqueeze(1) == groups.unsqueeze(0)
    return contrastive_term(similarity, same_group & others, others, temperature)
