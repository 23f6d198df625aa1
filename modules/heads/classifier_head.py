"""A single classifier: layers from embeddings to logits."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from modules.heads.cosine_linear import CosineLinear
from modules.heads.perceptron import perceptron


class ClassifierHead(nn.Sequential):
    """Hidden layers, a linear or cosine layer, and optional class factors."""

    def __init__(
        self,
        sizes: Sequence[int],
        num_classes: int,
        dropout: float = 0.0,
        cosine_scale: float | None = None,
        class_scales: bool = False,
    ) -> None:
        """Create the layers.

        Args:
            sizes: Size of embeddings, followed by the sizes of the hidden layers.
            num_classes: Number of classes C.
            dropout: Dropout probability of hidden units.
            cosine_scale: Scale of cosine logits; None for linear logits.
            class_scales: Whether to multiply the logit of each class by a learned factor.
        """
        if cosine_scale is None:
            layers = list(perceptron([*sizes, num_classes], dropout))
        else:
            hidden = perceptron(sizes, dropout, final_activation=True) if len(sizes) > 1 else nn.Sequential()
            layers = [*hidden, CosineLinear(sizes[-1], num_classes, cosine_scale)]
        super().__init__(*layers, *([ClassScales(num_classes)] if class_scales else []))
        self.class_scales = class_scales

    def training_outputs(self, embeddings: Tensor, scaled: bool) -> list[Tensor]:
        """Compute the logits for training.

        Args:
            embeddings: Embeddings, (B, d).
            scaled: Whether to apply the class factors. Ignored without class factors.

        Returns:
            A list of a single tensor of logits, (B, C).
        """
        if scaled or not self.class_scales:
            return [self(embeddings)]
        *layers, _ = self
        values = embeddings
        for layer in layers:
            values = layer(values)
        return [values]


class ClassScales(nn.Module):
    """Learned factor of each class's logit (learnable weight scaling, LWS; Kang et al., 2020, arXiv 1910.09217)."""

    def __init__(self, num_classes: int) -> None:
        """Create factors of 1.

        Args:
            num_classes: Number of classes C.
        """
        super().__init__()
        self.weight = nn.Parameter(torch.empty(num_classes))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set all factors to 1."""
        nn.init.ones_(self.weight)

    def forward(self, logits: Tensor) -> Tensor:
        """Scale logits, (B, C)."""
        return self.weight * logits
