"""Functions shared by the contrastive losses."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from base.ranges import check_positive
from modules.unit_embeddings import unit_embeddings

Total = Callable[[Tensor], Tensor]
"""Adds up a number of anchors, int64 scalar, over all shares of a batch."""


def only_share(number: Tensor) -> Tensor:
    """Total of a batch with a single share."""
    return number


@dataclass(frozen=True)
class Share:
    """Consecutive samples of a batch whose views are anchors; the views of all samples are keys.

    The values of a loss for shares that divide the batch add up to its value for the whole batch.

    Attributes:
        first: First sample.
        end: Sample after the last; None for the end of the batch.
        total: Adds up a number of anchors over all shares.
    """

    first: int = 0
    end: int | None = None
    total: Total = only_share

    def rows(self, views: Tensor) -> slice:
        """Rows of the anchors among all keys.

        Args:
            views: Projections, (B, V, d); the views of a sample are adjacent keys.
        """
        samples, number = views.shape[:2]
        first, end, _ = slice(self.first, self.end).indices(samples)
        return slice(first * number, end * number)


WHOLE = Share()
"""All samples of a batch."""


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


def unit_keys(views: Tensor) -> Tensor:
    """Scale views to unit length, in the order of the keys.

    Args:
        views: Projections, floating point (B, V, d).

    Returns:
        fp32 (B*V, d); the views of a sample are adjacent.
    """
    return unit_embeddings(views).flatten(0, 1)


def same_group(groups: Tensor, rows: slice) -> Tensor:
    """Mask of the pairs of an anchor and a key of the same group.

    Args:
        groups: Group of each key, (keys,).
        rows: Rows of the anchors.

    Returns:
        bool (anchors, keys).
    """
    found: Tensor = groups[rows].unsqueeze(1) == groups.unsqueeze(0)
    return found


def others_of_group(groups: Tensor, rows: slice) -> Tensor:
    """Mask of the pairs of an anchor and another key of the same group.

    Args:
        groups: Group of each key, (keys,).
        rows: Rows of the anchors.

    Returns:
        bool (anchors, keys).
    """
    found = same_group(groups, rows)
    first, end, _ = rows.indices(len(groups))
    found[:, first:end].fill_diagonal_(False)
    return found


def owners_of_keys(views: Tensor) -> Tensor:
    """Number the keys by their sample.

    Args:
        views: Projections, (B, V, d).

    Returns:
        int64 (B*V,).
    """
    return torch.arange(views.shape[0], device=views.device).repeat_interleave(views.shape[1])


def other_keys(keys: int, rows: slice, device: torch.device) -> Tensor:
    """Mask of the pairs of an anchor and a key other than itself.

    Args:
        keys: Number of keys.
        rows: Rows of the anchors among the keys.
        device: Device of the mask.

    Returns:
        bool (anchors, keys).
    """
    first, end, _ = rows.indices(keys)
    others = torch.ones(end - first, keys, dtype=torch.bool, device=device)
    others[:, first:end].fill_diagonal_(False)
    return others


def group_members(groups: Tensor) -> Tensor:
    """Count the members of the group of each key, without comparing all pairs.

    Args:
        groups: Group of each key, (keys,).

    Returns:
        int64 (keys,).
    """
    groups = groups.contiguous()
    ordered = groups.sort().values
    return torch.searchsorted(ordered, groups, right=True) - torch.searchsorted(ordered, groups)


def anchors_with_others(groups: Tensor, rows: slice, total: Total) -> Tensor:
    """Count the anchors whose group has other keys.

    Args:
        groups: Group of each key, (keys,).
        rows: Rows of the anchors among the keys.
        total: Adds up a number of anchors over all shares.

    Returns:
        int64 scalar.
    """
    return total((group_members(groups)[rows] > 1).sum())


def contrastive_term(
    similarity: Tensor,
    positives: Tensor,
    denominators: Tensor | slice,
    temperatures: Tensor | float,
    number: Tensor | None = None,
    log_sizes: Tensor | None = None,
    anchor_weights: Tensor | None = None,
) -> Tensor:
    """Average the contrastive loss over the anchors that have a positive.

    For anchor a, with positives P_a inside denominators D_a and temperature t_a:
    ``-1/|P_a| * sum_{p in P_a} log( exp(z_a.z_p / t_a) / sum_{k in D_a} exp(z_a.z_k / t_a) )``
    (Khosla et al., 2020, arXiv 2004.11362, equation 2).

    Args:
        similarity: Similarities z_a.z_k, fp32 (anchors, columns).
        positives: P_a as a bool mask, (anchors, columns), or as weights whose sum is 0 or at least 1 for each anchor.
        denominators: D_a as a bool mask, (anchors, columns); contains all positives. The rows of the anchors among the
            columns stand for all columns but the anchor itself.
        temperatures: Temperature of all anchors, or of each, (anchors, 1).
        number: Divisor of the sum over the anchors: how many anchors have a positive, in all blocks and shares of a
            batch. If None, they are counted among these anchors.
        log_sizes: Logarithm of a divisor of each term of the denominator, (anchors, columns); 0 if None.
        anchor_weights: Factor of each anchor's loss, (anchors, 1); 1 if None.

    Returns:
        fp32 scalar; a zero that is connected to the graph if no anchor has a positive.
    """
    value: Tensor = _ContrastiveTerm.apply(  # type: ignore[no-untyped-call]
        similarity, positives, denominators, temperatures, number, log_sizes, anchor_weights
    )
    return value


class _ContrastiveTerm(torch.autograd.Function):
    """Value and gradient in one pass, which reads the matrix half as often as autograd would."""

    @staticmethod
    def forward(
        ctx: Any,
        similarity: Tensor,
        positives: Tensor,
        denominators: Tensor | slice,
        temperatures: Tensor | float,
        number: Tensor | None,
        log_sizes: Tensor | None,
        anchor_weights: Tensor | None,
    ) -> Tensor:
        # On a CPU, arithmetic of floats and truth values takes ten times as long as that of floats.
        weights = positives.to(similarity.dtype)
        positive_counts = weights.sum(dim=1, keepdim=True)
        usable = positive_counts > 0
        number = (usable.sum() if number is None else number).clamp(min=1)
        # Unlike infinity, the lowest number keeps anchors without denominators finite, and its product with 0 is 0.
        lowest = torch.finfo(similarity.dtype).min
        terms = similarity / temperatures
        if isinstance(denominators, Tensor):
            terms.masked_fill_(~denominators, lowest)
        else:
            first, end, _ = denominators.indices(terms.shape[1])
            terms[:, first:end].fill_diagonal_(lowest)
        # Subtracting the maximum preserves precision at low temperatures and does not change the loss.
        terms -= terms.amax(dim=1, keepdim=True)
        factors = usable.to(terms.dtype) if anchor_weights is None else usable * anchor_weights
        positive_counts = positive_counts.clamp(min=1)
        positive_logits = torch.linalg.vecdot(terms, weights).unsqueeze(1) / positive_counts
        if log_sizes is not None:
            terms -= log_sizes
        sums = terms.exp_().sum(dim=1, keepdim=True)
        losses: Tensor = (sums.log() - positive_logits) * factors
        # The gradient is the softmax minus the shares of the positives.
        factors = factors / (number * temperatures)
        ctx.save_for_backward(terms.mul_(factors / sums).addcmul_(weights, factors / positive_counts, value=-1))
        return losses.sum() / number

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None, None, None, None]:
        (slope,) = ctx.saved_tensors
        return gradients[0] * slope, None, None, None, None, None, None


def group_term(
    similarity: Tensor, groups: Tensor, temperature: float, rows: slice = slice(None), number: Tensor | None = None
) -> Tensor:
    """Contrastive term whose positives are the other keys of the same group, against all other keys.

    Args:
        similarity: Cosine similarities, fp32 (anchors, keys).
        groups: Class or sub-cluster of each key, int64 (keys,).
        temperature: Temperature of all anchors.
        rows: Rows of the anchors among the keys.
        number: See `contrastive_term`.

    Returns:
        fp32 scalar.
    """
    return contrastive_term(similarity, others_of_group(groups, rows), rows, temperature, number)
