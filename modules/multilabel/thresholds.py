"""The probability from which each label is predicted."""

from __future__ import annotations

import torch
from torch import Tensor

_STEPS = 101
_SLOPES = (0.0, 0.25, 0.5, 0.75, 1.0)
_SHRINKAGE = 10.0


def choose_thresholds(scores: Tensor, labels: Tensor, prior: Tensor) -> Tensor:
    """Thresholds on the scores of labels with a high macro F1.

    A threshold for each label alone would fit the noise of rare ones, so that it is drawn to a common one: the
    line ``a + b prior`` of the best macro F1 over a grid. A label with n samples takes ``n / (n + 10)`` of the way from
    the line to its own best threshold.

    Args:
        scores: Log odds of samples that the model was not trained on, fp32 (N, L).
        labels: Labels, see `label_scores`, integers (N, L).
        prior: Log odds of each label in training, fp32 (L,).

    Returns:
        fp32 (L,); a label is predicted where its score is above. 0 if no sample has a label.
    """
    known, positive = labels >= 0, labels == 1
    has = positive.sum(dim=0)
    if not bool((has > 0).any()):
        return torch.zeros_like(prior)
    shifts = torch.linspace(-5, 5, _STEPS, device=scores.device)
    lines = torch.stack([shift + slope * prior for slope in _SLOPES for shift in shifts])
    means = torch.stack([_f1(scores, line, known, positive)[has > 0].mean() for line in lines])
    # Of equal ones the middle, which is farthest from thresholds that are worse.
    best = torch.nonzero(means == means.max()).flatten()
    line = lines[best[len(best) // 2]]
    own = line.clone()
    for place in torch.nonzero(has > 0).flatten().tolist():
        own[place] = _best_threshold(scores[known[:, place], place], positive[known[:, place], place], line[place])
    share = has / (has + _SHRINKAGE)
    return line + share * (own - line)


def _f1(scores: Tensor, thresholds: Tensor, known: Tensor, positive: Tensor) -> Tensor:
    chosen = (scores > thresholds) & known
    hits = (chosen & positive).sum(dim=0)
    return 2 * hits / (chosen.sum(dim=0) + positive.sum(dim=0)).clamp(min=1)


def _best_threshold(scores: Tensor, positive: Tensor, default: Tensor) -> Tensor:
    """The threshold of the best F1, half-way between two scores; of equal ones the nearest to a default."""
    ordered, order = scores.sort(descending=True)
    hits = positive[order].cumsum(dim=0)
    chosen = torch.arange(1, len(ordered) + 1, device=scores.device)
    f1 = 2 * hits / (chosen + positive.sum())
    below = torch.cat([ordered[1:], ordered[-1:] - 1])
    # No threshold separates equal scores.
    f1 = f1.masked_fill(below == ordered, -1)
    middles = (ordered + below) / 2
    candidates = middles[f1 == f1.max()]
    return candidates[(candidates - default).abs().argmin()]
