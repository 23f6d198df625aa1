"""Random entries for the tests of losses of several labels, and the definition of their mean."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

EntryLoss = Callable[[float, bool, int, int], float]
"""Loss of an entry, from its logit, whether the sample has the label, the row and the label."""


class Entries(NamedTuple):
    """Logits (B, L), labels (B, L), label weights, label counts and numbers of known values, (L,)."""

    logits: Tensor
    labels: Tensor
    weights: Tensor
    counts: Tensor
    known: Tensor

    @property
    def arguments(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """What a loss is called with."""
        return self[:4]


def draw_entries(seed: int, samples: int = 7, labels: int = 4) -> Entries:
    """Entries of which about a third are not known."""
    generator = torch.Generator().manual_seed(seed)
    counts = torch.randint(1, 500, (labels,), generator=generator)
    return Entries(
        3 * torch.randn(samples, labels, generator=generator),
        torch.randint(-1, 2, (samples, labels), generator=generator),
        torch.rand(labels, generator=generator) + 0.1,
        counts,
        counts + torch.randint(1, 2_000, (labels,), generator=generator),
    )


def looped_mean(entries: Entries, loss: EntryLoss, sample_weights: list[float] | None = None) -> float:
    """The weighted mean over the known entries, one after the other."""
    total, total_weight = 0.0, 0.0
    for row, values in enumerate(entries.labels.tolist()):
        for label, value in enumerate(values):
            if value == -1 or entries.counts[label] == 0:
                continue
            weight = float(entries.weights[label]) * (1.0 if sample_weights is None else sample_weights[row])
            total += weight * loss(float(entries.logits[row, label]), value == 1, row, label)
            total_weight += weight
    return total / total_weight


def looped_log_odds(entries: Entries, label: int) -> float:
    """Logarithm of the prior odds of a label."""
    count, known = int(entries.counts[label]), int(entries.known[label])
    return math.log((count + 0.5) / (known - count + 0.5))


def slopes(entries: Entries, loss: EntryLoss, step: float = 1e-5) -> Tensor:
    """Gradient of the looped mean by central differences in double precision, (B, L)."""
    found = torch.zeros(entries.logits.shape, dtype=torch.float64)
    for row in range(len(found)):
        for label in range(found.shape[1]):
            change = torch.zeros_like(found)
            change[row, label] = step
            above, below = (
                looped_mean(entries._replace(logits=entries.logits.double() + sign * change), loss) for sign in (1, -1)
            )
            found[row, label] = (above - below) / (2 * step)
    return found


def gradient(loss: torch.nn.Module, entries: Entries) -> Tensor:
    """Gradient of a loss with respect to the logits, (B, L)."""
    logits = entries.logits.clone().requires_grad_()
    loss(logits, *entries.arguments[1:]).backward()
    assert logits.grad is not None
    return logits.grad
