"""Settings and construction of the classification head: a single classifier or several experts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from base.ranges import check_positive, check_range, check_sizes, check_whole
from modules.heads.classifier_head import ClassifierHead
from modules.heads.experts import Experts


@dataclass(frozen=True)
class HeadSettings:
    """Settings of the classification head, from embeddings to logits.

    Args:
        hidden_dims: Sizes of the hidden layers; null for none.
        dropout: Dropout probability of hidden units, in [0, 1).
        cosine_scale: Positive scale of cosine logits; null for linear logits.
        class_scales: Whether to multiply the logit of each class by a learned factor, which trains only in a stage that
            freezes the classifier.
        experts: Number of experts, whose mean logits are used.
        expert_diversity: Factor of the experts' mean divergence, which is subtracted from the classification loss.
        per_encoder: Whether each encoder of a Fusion has a classifier and a loss of its own, so that none waits for
            another to learn; the mean logits are used. A single encoder has a single classifier.

    Raises:
        ValueError: If a setting is out of range.
    """

    hidden_dims: list[int] | None = None
    dropout: float = 0.0
    cosine_scale: float | None = None
    class_scales: bool = False
    experts: int = 1
    expert_diversity: float = 0.2
    per_encoder: bool = False

    def __post_init__(self) -> None:
        """Check the settings."""
        check_sizes("model.head.hidden_dims", self.hidden_dims)
        check_range("model.head.dropout", self.dropout, 0, below=1)
        if self.cosine_scale is not None:
            check_positive("model.head.cosine_scale", self.cosine_scale)
        check_whole("model.head.experts", self.experts, 1)
        check_range("model.head.expert_diversity", self.expert_diversity, 0)
        if self.per_encoder and self.experts > 1:
            raise ValueError(f"model.head.experts: expected 1 with per_encoder, got {self.experts}.")

    @property
    def is_linear(self) -> bool:
        """Whether the head ends with a single linear layer, as tau-normalization requires."""
        single = self.experts == 1 and not self.per_encoder
        return single and self.cosine_scale is None and not self.class_scales


def make_head(settings: HeadSettings, embedding_dims: Sequence[int], num_classes: int) -> ClassifierHead | Experts:
    """Create a classification head.

    Args:
        settings: Settings of the head.
        embedding_dims: Sizes of the encoders' embeddings, which are concatenated.
        num_classes: Number of classes C.

    Returns:
        A classifier; experts if there are several or one for each encoder.
    """

    def reading(size: int) -> ClassifierHead:
        sizes = [size, *(settings.hidden_dims or [])]
        return ClassifierHead(sizes, num_classes, settings.dropout, settings.cosine_scale, settings.class_scales)

    if settings.per_encoder and len(embedding_dims) > 1:
        return Experts([reading(size) for size in embedding_dims], embedding_dims)
    whole = sum(embedding_dims)
    return reading(whole) if settings.experts == 1 else Experts([reading(whole) for _ in range(settings.experts)])
