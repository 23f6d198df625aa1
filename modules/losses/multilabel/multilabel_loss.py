"""Base class of the losses of several labels for each sample: input checks, precision, missing entries, reduction."""

from abc import ABC, abstractmethod
from typing import final

import torch
from torch import Tensor

from modules.losses.classification.classification_loss import ClassificationLoss


class MultilabelLoss(ClassificationLoss, ABC):
    """Base class of the losses of L labels, each of which a sample has, has not, or may have or not.

    The labels take the place of the classes. A subclass overrides `entry_losses`, the loss of each sample and label;
    `adjust` and `weighted_losses` are not used. Entries whose value is not known are left out. So are labels without a
    training sample that has them, from which nothing but the absence of the label could be learned.

    Scores are the log odds of the labels. Calibration needs all of their digits, which probabilities near 1 have lost,
    so `probabilities` cannot be overridden.
    """

    known: Tensor | None
    """Training samples whose value of each label is known, int64 (L,); None before `build`."""

    def __init__(self) -> None:
        """Create the loss.

        Raises:
            ValueError: If a subclass overrides `probabilities`.
        """
        super().__init__()
        if type(self).probabilities is not MultilabelLoss.probabilities:
            raise ValueError(
                "probabilities: expected a loss of several labels that leaves them the sigmoid of its scores, got "
                f"{type(self).__name__}, which overrides them."
            )
        self.register_buffer("known", None, persistent=False)

    def build(self, known: Tensor) -> None:
        """Set the number of known values, which the log odds need, once, before the first step.

        Args:
            known: Training samples whose value of each label is known, integers (L,).

        Raises:
            ValueError: If the shape or dtype is invalid.
        """
        if known.ndim != 1 or known.is_floating_point():
            raise ValueError(f"known: expected integers of shape (L,), got {known.dtype} {tuple(known.shape)}.")
        self.known = known.to(torch.int64)

    def forward(
        self,
        logits: Tensor,
        labels: Tensor,
        class_weights: Tensor,
        class_counts: Tensor,
        embeddings: Tensor | None = None,
        sample_weights: Tensor | None = None,
    ) -> Tensor:
        """Compute the loss in fp32, whatever the precision of the inputs and under autocast.

        Args:
            logits: Logits, floating point (B, L).
            labels: Integers (B, L): 1 if the sample has the label, 0 if it has not, -1 if this is not known.
            class_weights: Weight of each label, at least 0, (L,).
            class_counts: Training samples that have each label, (L,).
            embeddings: Not used.
            sample_weights: Weight of each sample, at least 0, (B,), which multiplies the weights of the labels; 1 if
                None.

        Returns:
            fp32 scalar: the weighted sum of the losses of the known entries divided by the sum of their weights. If all
            weights of the batch are 0, a zero that is connected to the graph.

        Raises:
            ValueError: If a shape or dtype is invalid, or the loss needs the number of known values before `build`.
        """
        _check_shapes(logits, labels, class_weights, class_counts, sample_weights)
        with torch.autocast(device_type=logits.device.type, enabled=False):
            used = (labels >= 0) & (class_counts > 0)
            weights = used * class_weights.float()
            if sample_weights is not None:
                weights = weights * sample_weights.float()[:, None]
            # Filled before the loss, since a weight of 0 would not stop NaN or infinity.
            values = logits.float().masked_fill(~used, 0)
            total_loss = (self.entry_losses(values, labels == 1, class_counts) * weights).sum()
            total_weight = weights.sum()
            return total_loss / torch.where(total_weight > 0, total_weight, torch.ones_like(total_weight))

    @abstractmethod
    def entry_losses(self, logits: Tensor, positive: Tensor, class_counts: Tensor) -> Tensor:
        """Loss of each sample and label, without the weights of samples and labels.

        Args:
            logits: Logits, fp32 (B, L).
            positive: Whether the sample has the label, bool (B, L); False where this is not known.
            class_counts: Training samples that have each label, (L,).

        Returns:
            fp32 (B, L), finite; the values of entries that are not known are ignored.
        """

    @final
    def probabilities(self, logits: Tensor, class_counts: Tensor) -> Tensor:
        """Probability of each label, the sigmoid of its score.

        Args:
            logits: Scores, floating point (B, L).
            class_counts: Not used.

        Returns:
            Probabilities, fp32 (B, L); those of a sample need not add up to 1.
        """
        return logits.float().sigmoid()

    def log_odds(self, class_counts: Tensor) -> Tensor:
        """Logarithm of the prior odds of each label, ``log((n + 1/2) / (known - n + 1/2))``.

        The halves keep the odds of labels that all or none of the training samples have finite (Haldane, 1956,
        Annals of Human Genetics 20:309).

        Args:
            class_counts: Training samples n that have each label, (L,).

        Returns:
            fp32 (L,).

        Raises:
            ValueError: If the number of known values is not set or has another shape.
        """
        counts = class_counts.float()
        return torch.log((counts + 0.5) / (self.known_counts(class_counts) - counts + 0.5))

    def add_prior(self, logits: Tensor, class_counts: Tensor) -> Tensor:
        """Add the log odds, times `removed_prior`, to the logits in training.

        Args:
            logits: Logits, fp32 (B, L).
            class_counts: Training samples that have each label, (L,).

        Returns:
            fp32 (B, L).

        Raises:
            ValueError: If the factor is not 0 and the number of known values is not set or has another shape.
        """
        if self.removed_prior == 0:
            return logits
        return logits + self.removed_prior * self.log_odds(class_counts)

    def known_counts(self, class_counts: Tensor) -> Tensor:
        """Training samples whose value of each label is known.

        Args:
            class_counts: Training samples that have each label, (L,).

        Returns:
            fp32 (L,).

        Raises:
            ValueError: If the number of known values is not set or has another shape.
        """
        if self.known is None:
            raise ValueError("known: expected the number of known values of each label from build, got None.")
        if self.known.shape != class_counts.shape:
            raise ValueError(
                f"known: expected shape (L,) = {tuple(class_counts.shape)}, got {tuple(self.known.shape)}."
            )
        return self.known.float()


def _check_shapes(
    logits: Tensor, labels: Tensor, class_weights: Tensor, class_counts: Tensor, sample_weights: Tensor | None
) -> None:
    if logits.ndim != 2 or not logits.is_floating_point():
        raise ValueError(
            f"logits: expected a floating-point tensor of shape (B, L), got {logits.dtype} {tuple(logits.shape)}."
        )
    batch, size = logits.shape
    for name, values, letters, shape in (
        ("labels", labels, "(B, L)", (batch, size)),
        ("class_weights", class_weights, "(L,)", (size,)),
        ("class_counts", class_counts, "(L,)", (size,)),
        ("sample_weights", sample_weights, "(B,)", (batch,)),
    ):
        if values is not None and values.shape != shape:
            raise ValueError(f"{name}: expected shape {letters} = {shape}, got {tuple(values.shape)}.")
