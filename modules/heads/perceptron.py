"""Multi-layer perceptron."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import nn


def perceptron(sizes: Sequence[int], dropout: float = 0.0, final_activation: bool = False) -> nn.Sequential:
    """Create linear layers with batch norm, ReLU and dropout between them.

    Args:
        sizes: Input size, sizes of the hidden layers and output size; two sizes give a single linear layer.
        dropout: Dropout probability of hidden units.
        final_activation: Whether batch norm, ReLU and dropout also follow the last layer.

    Returns:
        The layers.

    Raises:
        ValueError: If fewer than two sizes are given.
    """
    if len(sizes) < 2:
        raise ValueError(f"sizes: expected at least an input and an output size, got {list(sizes)}.")
    layers: list[nn.Module] = []
    for position, (width, next_width) in enumerate(pairwise(sizes)):
        layers.append(nn.Linear(width, next_width))
        if position < len(sizes) - 2 or final_activation:
            layers += [nn.BatchNorm1d(next_width), nn.ReLU(), nn.Dropout(dropout)]
    return nn.Sequential(*layers)
