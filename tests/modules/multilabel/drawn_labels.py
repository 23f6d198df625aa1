"""Random predictions of several labels, some of which are not known."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Drawn(NamedTuple):
    """Probabilities (N, L), predicted labels (N, L) and labels (N, L)."""

    probabilities: Tensor
    predicted: Tensor
    labels: Tensor


def draw(seed: int, samples: int = 40, labels: int = 5) -> Drawn:
    """Probabilities with ties, which tell something of the labels, of which about a third are not known."""
    generator = torch.Generator().manual_seed(seed)
    entries = torch.randint(-1, 2, (samples, labels), generator=generator)
    noise = torch.rand(samples, labels, generator=generator)
    probabilities = ((noise + 0.3 * (entries == 1)) / 1.3 * 20).round() / 20
    return Drawn(probabilities, torch.randint(0, 2, (samples, labels), generator=generator), entries)
