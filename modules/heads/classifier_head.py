"""The layers from an embedding to the logits."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from modules.heads.cosine_linear import CosineLinear
from modules.heads.perceptron import perceptron


class ClassifierHead(nn.Sequential):
    """Hidden layers, a linear or a cosine layer, and factors of the classes if they are asked for."""

    def __init__(
        self,
        sizes: Sequence[int],
        num_classes: int,
        dropout: float = 0.0,
        cosine_scale: float | None = None,
        class_scales: bool = False,
    ) -> None:
        """Make the layers.

        Args:
            sizes: Size of an embedding and of the hidden layers.
            num_classes: Number of classes C.
            dropout: Share of hidden units that training leaves out.
            cosine_scale: Makes the logits this number times cosines; None makes them linear.
            class_scales: Whether each class's logit gets a factor.
        """
        if cosine_scale is None:
            layers = list(perceptron([*sizes, num_classes], dropout))
        else:
            hidden = perceptron(sizes, dropout, final_activation=True) if len(sizes) > 1 else nn.Sequential()
            layers = [*hidden, CosineLinear(sizes[-1], num_classes, cosine_scale)]
        super().__init__(*layers, *([ClassScales(num_classes)] if class_scales else []))
        self.class_scales = class_scales

    def training_outputs(self, embeddings: Tensor, second_stage: bool) -> list[Tensor]:
        """Logits to train on: without the factors of the classes, or with nothing but these to train.

        Args:
            embeddings: (B, d).
            second_stage: Whether the encoder stays as it is; only then the factors train.

        Returns:
            One (B, C); several classifiers give one each.
        """
        if not self.class_scales:
            return [self(embeddings)]
        *layers, scales = self
        if second_stage:
            self.eval()
        values = embeddings
        with torch.set_grad_enabled(not second_stage):
            for layer in layers:
                values = layer(values)
        return [scales(values) if second_stage else values]


class ClassScales(nn.Module):
    """Multiplies each class's logit, by 1 before training (Kang et al., 2020, arXiv 1910.09217, their LWS)."""

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
