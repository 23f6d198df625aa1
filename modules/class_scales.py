"""One factor for each class."""

import torch
from torch import Tensor, nn


class ClassScales(nn.Module):
    """Multiplies each class's output, by 1 before training (Kang et al., 2020, arXiv 1910.09217, their LWS)."""

    def __init__(self, num_classes: int) -> None:
        """Start with 1.

        Args:
            num_classes: Number of classes C.
        """
        super().__init__()
        self.weight = nn.Parameter(torch.ones(num_classes))

    def forward(self, logits: Tensor) -> Tensor:
        """Scale (B, C)."""
        return self.weight * logits
