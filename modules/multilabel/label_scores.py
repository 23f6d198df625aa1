"""Scores of single labels on samples of which it is known whether they have them."""

from __future__ import annotations

import torch
from torch import Tensor
from torchmetrics.functional.classification import binary_auroc, binary_average_precision


def label_scores(probabilities: Tensor, predicted: Tensor, labels: Tensor) -> dict[str, Tensor]:
    """Scores of each label; a sample is left out where it is not known whether it has the label.

    Args:
        probabilities: Probabilities of the labels, floating point (N, L).
        predicted: Which labels are predicted, 1 or 0, integers (N, L).
        labels: 1 the sample has the label, 0 it does not, -1 not known, integers (N, L).

    Returns:
        fp32 (L,) each: `average_precision` and `auroc`, NaN where no sample has the label, or all have; and those of
        `predicted_scores`.
    """
    known, positive = labels >= 0, labels == 1
    undefined = torch.full(labels.shape[1:], torch.nan, device=labels.device)
    ranking = {name: undefined.clone() for name in ("average_precision", "auroc")}
    for place in torch.nonzero(positive.any(dim=0) & (known & ~positive).any(dim=0)).flatten().tolist():
        own = known[:, place]
        given = probabilities[own, place], positive[own, place].long()
        ranking["average_precision"][place] = binary_average_precision(*given)
        ranking["auroc"][place] = binary_auroc(*given)
    return {**ranking, **predicted_scores(predicted, labels)}


def predicted_scores(predicted: Tensor, labels: Tensor) -> dict[str, Tensor]:
    """Scores of each label that do not depend on probabilities.

    Args:
        predicted: As of `label_scores`.
        labels: As of `label_scores`.

    Returns:
        fp32 (L,) each: `recall`, NaN where no sample has the label; `specificity`, NaN where all have it; `precision`,
        0 where it is never predicted, and `f1`, NaN where no sample has the label.
    """
    known, positive, chosen = labels >= 0, labels == 1, predicted == 1
    hits = (chosen & positive).sum(dim=0).float()
    alarms = (chosen & known & ~positive).sum(dim=0).float()
    has, has_not = positive.sum(dim=0).float(), (known & ~positive).sum(dim=0).float()
    undefined = torch.full_like(hits, torch.nan)
    return {
        "recall": torch.where(has > 0, hits / has, undefined),
        "specificity": torch.where(has_not > 0, 1 - alarms / has_not, undefined),
        "precision": torch.where(has > 0, hits / (hits + alarms).clamp(min=1), undefined),
        "f1": torch.where(has > 0, 2 * hits / (hits + alarms + has).clamp(min=1), undefined),
    }


def micro_f1(predicted: Tensor, labels: Tensor) -> Tensor:
    """F1 of all known entries together, fp32; NaN if none is positive.

    Args:
        predicted: As of `label_scores`.
        labels: As of `label_scores`.
    """
    chosen, positive = (predicted == 1) & (labels >= 0), labels == 1
    hits, both = (chosen & positive).sum().float(), chosen.sum() + positive.sum()
    return torch.where(positive.any(), 2 * hits / both.clamp(min=1), torch.nan)
