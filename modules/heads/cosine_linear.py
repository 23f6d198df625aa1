"""Linear layer with scaled cosine outputs."""

import torch
from torch import Tensor, nn

from modules.unit_embeddings import unit_embeddings


class CosineLinear(nn.Module):
    """Scaled cosine similarities of the input with a learned vector for each output."""

    def __init__(self, inputs: int, outputs: int, scale: float) -> None:
        """Create the layer.

        Args:
            inputs: Size of the input.
            outputs: Size of the output.
            scale: Positive factor of the cosine similarities.
        """
        super().__init__()
        self.weight = nn.Parameter(torch.empty(outputs, inputs))
        self.scale = scale
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Initialize the vectors from a normal distribution."""
        nn.init.normal_(self.weight)

    def forward(self, values: Tensor) -> Tensor:
        """Compute fp32 (B, outputs) from floating point (B, inputs)."""
        with torch.autocast(values.device.type, enabled=False):
            return self.scale * unit_embeddings(values) @ unit_embeddings(self.weight).T
