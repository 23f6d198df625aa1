"""A classifier: layers from an embedding to the logits."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from modules.heads.cosine_linear import CosineLinear
from modules.heads.perceptron import perceptron


class ClassifierHead(nn.Sequential):
    """Hidden layers, a linear or a cosine layer, and optional class factors."""

    def __init__(
        self,
        sizes: Sequence[int],
        num_classes: int,
        dropout: float = 0.0,
        cosine_scale: float | None = None,
        class_scales: bool = False,
    ) -> None:
        """Build the layers.

        Args:
            sizes: Size of an embedding and of the hidden layers.
            num_classes: Number of classes C.
            dropout: Share of the hidden units that training drops.
            cosine_scale: Makes the logits this number times the cosine with one vector per class; None makes them
                linear.
            class_scales: Whether each class's logit is multiplied by a factor.
        """
        if cosine_scale is None:
            layers = list(perceptron([*sizes, num_classes], dropout))
        else:
            hidden = perceptron(sizes, dropout, final_activation=True) if len(sizes) > 1 else nn.Sequential()
            layers = [*hidden, CosineLinear(sizes[-1], num_classes, cosine_scale)]
        super().__init__(*layers, *([ClassScales(num_classes)] if class_scales else []))
        self.class_scales = class_scales

    def training_outputs(self, embeddings: Tensor, scales_only: bool) -> list[Tensor]:
        """Logits to train on.

        Args:
            embeddings: (B, d).
            scales_only: Whether the class factors train and everything before them is frozen; otherwise the logits are
                those without the factors. Without class factors this changes nothing.

        Returns:
            A list of one (B, C).
        """
        if not self.class_scales:
            return [self(embeddings)]
        *layers, scales = self
        if scales_only:
            self.eval()
        values = embeddings
        with torch.set_grad_enabled(not scales_only):
            for layer in layers:
                values = layer(values)
        return [scales(values) if scales_only else values]


class ClassScales(nn.Module):
    """Multiplies each class's logit by a factor (LWS; Kang et al., 2020, arXiv 1910.09217)."""

    def __init__(self, num_classes: int) -> None:
        """Start with factors of 1.

        Args:
            num_classes: Number of classes C.
        """
        super().__init__()
        self.weight = nn.Parameter(torch.ones(num_classes))

    def forward(self, logits: Tensor) -> Tensor:
        """Scale (B, C)."""
        return self.weight * logits
