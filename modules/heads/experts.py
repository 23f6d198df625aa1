"""Several classifiers, on the same embedding or on the embeddings of different encoders."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from modules.heads.classifier_head import ClassifierHead


class Experts(nn.Module):
    """Classifiers with a loss each, whose mean logits are those of the head.

    If all of them read the whole embedding, this is a variant of RIDE (Wang et al., 2021, arXiv 2010.01809) without
    routing, whose experts share the whole encoder.
    """

    def __init__(self, heads: Sequence[ClassifierHead], parts: Sequence[int] | None = None) -> None:
        """Create the experts.

        Args:
            heads: The classifier of each expert.
            parts: Sizes of the parts of the embedding that the experts read, one part each; all read the whole
                embedding if None.
        """
        super().__init__()
        self.heads = nn.ModuleList(heads)
        self.parts = None if parts is None else list(parts)

    def forward(self, embeddings: Tensor) -> Tensor:
        """Compute the mean logits of the experts, (B, C), from embeddings, (B, d)."""
        read = self._read(embeddings)
        return torch.stack([head(part) for head, part in zip(self.heads, read, strict=True)]).mean(dim=0)

    def training_outputs(self, embeddings: Tensor, scaled: bool) -> list[Tensor]:
        """Compute the logits of each expert for training; see `ClassifierHead.training_outputs`."""
        return [
            output
            for head, part in zip(self.heads, self._read(embeddings), strict=True)
            if isinstance(head, ClassifierHead)
            for output in head.training_outputs(part, scaled)
        ]

    def _read(self, embeddings: Tensor) -> Sequence[Tensor]:
        """What each expert reads of embeddings, (B, d)."""
        return [embeddings] * len(self.heads) if self.parts is None else torch.split(embeddings, self.parts, dim=1)


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
