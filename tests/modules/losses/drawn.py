"""Random batches for the tests of losses."""

import torch
from torch import Tensor


def draw_batch(seed: int, samples: int = 7, classes: int = 4) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Logits (B, C), labels (B,), class weights (C,) and class counts (C,)."""
    generator = torch.Generator().manual_seed(seed)
    return (
        torch.randn(samples, classes, generator=generator),
        torch.randint(classes, (samples,), generator=generator),
        torch.rand(classes, generator=generator) + 0.1,
        torch.randint(1, 500, (classes,), generator=generator),
    )


def weighted_mean(losses: list[float], labels: Tensor, weights: Tensor) -> float:
    """PyTorch's mean of a weighted cross-entropy."""
    own = [float(weights[label]) for label in labels.tolist()]
    return sum(weight * loss for weight, loss in zip(own, losses, strict=True)) / sum(own)
