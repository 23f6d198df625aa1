"""Ensemble of classifiers on the same embedding."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from modules.heads.classifier_head import ClassifierHead


class Experts(nn.Module):
    """Classifiers on the same embedding that learn diverse predictions; the logits are their mean.

    A variant of RIDE (Wang et al., 2021, arXiv 2010.01809) without routing, whose experts share the whole encoder.
    """

    def __init__(self, number: int, make_head: Callable[[], ClassifierHead]) -> None:
        """Create the experts.

        Args:
            number: Number of experts.
            make_head: Creates the classifier of an expert.
        """
        super().__init__()
        self.heads = nn.ModuleList(make_head() for _ in range(number))

    def forward(self, embeddings: Tensor) -> Tensor:
        """Compute the mean logits of the experts, (B, C), from embeddings, (B, d)."""
        return torch.stack([head(embeddings) for head in self.heads]).mean(dim=0)

    def training_outputs(self, embeddings: Tensor, scales_only: bool) -> list[Tensor]:
        """Compute the logits of each expert for training; see `ClassifierHead.training_outputs`."""
        return [
            output
            for head in self.heads
            if isinstance(head, ClassifierHead)
            for output in head.training_outputs(embeddings, scales_only)
        ]


def diversity(outputs: list[Tensor]) -> Tensor:
    """Compute the diversity of experts: the mean of ``KL(p_i || p_j)`` over pairs of their probabilities p_i and p_j.

    Args:
        outputs: Logits of each expert, floating point (B, C).

    Returns:
        fp32 scalar, at least 0; 0 for a single expert.
    """
    with torch.autocast(outputs[0].device.type, enabled=False):
        logs = torch.stack([output.float().log_softmax(dim=1) for output in outputs])
        number = len(logs)
        pairs = [
            functional.kl_div(logs[j], logs[i], reduction="batchmean", log_target=True)
            for i in range(number)
            for j in range(number)
            if i != j
        ]
        return torch.stack(pairs).mean() if pairs else logs.new_zeros(())
