"""A linear layer whose outputs are scaled cosines."""

import torch
from torch import Tensor, nn

from modules.unit_embeddings import unit_embeddings


class CosineLinear(nn.Module):
    """The cosine of the input with one vector for each output, times a scale."""

    def __init__(self, inputs: int, outputs: int, scale: float) -> None:
        """Draw the vectors.

        Args:
            inputs: Size of the input.
            outputs: Number of vectors.
            scale: Factor of the cosines, positive.
        """
        super().__init__()
        self.weight = nn.Parameter(torch.empty(outputs, inputs))
        self.scale = scale
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the vectors anew."""
        nn.init.normal_(self.weight)

    def forward(self, values: Tensor) -> Tensor:
        """Compute fp32 (B, outputs) from floating point (B, inputs)."""
        with torch.autocast(values.device.type, enabled=False):
            return self.scale * unit_embeddings(values) @ unit_embeddings(self.weight).T
