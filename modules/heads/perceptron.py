"""Stacks of linear layers."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import nn


def perceptron(sizes: Sequence[int], dropout: float = 0.0, final_activation: bool = False) -> nn.Sequential:
    """Linear layers with batch norm, ReLU and dropout between them.

    Args:
        sizes: Input size, sizes of the hidden layers, output size; two numbers make a single linear layer.
        dropout: Share of hidden units that training leaves out.
        final_activation: Whether the last layer too is followed by batch norm, ReLU and dropout.

    Raises:
        ValueError: If fewer than two sizes are given.
    """
    if len(sizes) < 2:
        raise ValueError(f"sizes: expected an input and an output size at least, got {list(sizes)}.")
    layers: list[nn.Module] = []
    for position, (width, next_width) in enumerate(pairwise(sizes)):
        layers.append(nn.Linear(width, next_width))
        if position < len(sizes) - 2 or final_activation:
            layers += [nn.BatchNorm1d(next_width), nn.ReLU(), nn.Dropout(dropout)]
    return nn.Sequential(*layers)
