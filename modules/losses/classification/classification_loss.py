"""Base class of the classification losses: input checks, precision, class weights and reduction."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from modules.losses.classification.class_priors import exclude_unseen


class ClassificationLoss(nn.Module):
    """Base class of the classification losses; by itself the class-weighted cross-entropy.

    A subclass overrides `adjust`, which changes the logits in training, or `weighted_losses`, the loss of each sample.
    The mean over a batch is weighted by the class weights, as in `torch.nn.CrossEntropyLoss`. If a loss uses the class
    counts, a class without training samples has a prior of 0: it is excluded from the softmax, and its samples, which
    can only occur in a validation or test split, get weight 0 instead of an infinite loss.
    """

    uses_counts = True
    """Whether the loss depends on the class counts, so that classes without training samples are excluded."""

    epoch = 0
    """Current epoch, for losses with a schedule."""

    @property
    def removed_prior(self) -> float:
        """Factor of the log prior that the loss adds in training, so that the logits are without it; by default 0."""
        return 0.0

    def weights_and_offsets(self, class_weights: Tensor, class_counts: Tensor) -> tuple[Tensor, Tensor]:
        """What becomes of class weights: weights of the losses of samples, and offsets of the logits in training.

        Args:
            class_weights: Weight of each class, fp32 (C,).
            class_counts: Training samples of each class, (C,).

        Returns:
            Weights, fp32 (C,), and offsets, fp32 (C,), by default the weights as they are and none.
        """
        return class_weights.float(), torch.zeros_like(class_weights, dtype=torch.float32)

    def set_epoch(self, epoch: int) -> None:
        """Set the current epoch.

        Args:
            epoch: Epoch, counted from 0.
        """
        self.epoch = epoch

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
            logits: Logits, floating point (B, C).
            labels: Labels, int64 (B,) in 0..C-1.
            class_weights: Weight of each class, at least 0, (C,).
            class_counts: Training samples of each class, (C,).
            embeddings: Embeddings that the logits were computed from, (B, d); required by some losses.
            sample_weights: Weight of each sample, at least 0, (B,), which multiplies its class's weight; 1 if None.

        Returns:
            fp32 scalar: the weighted sum of the samples' losses divided by the sum of their weights. If all weights of
            the batch are 0, a zero that is connected to the graph.

        Raises:
            ValueError: If a shape or dtype is invalid.
        """
        _check_shapes(logits, labels, class_weights, class_counts)
        with torch.autocast(device_type=logits.device.type, enabled=False):
            values, weights = logits.float(), class_weights.float()
            if self.uses_counts:
                values = exclude_unseen(self.adjust(values, labels, class_counts), class_counts)
                weights = weights * (class_counts > 0)
            own = torch.ones_like(values[:, 0]) if sample_weights is None else sample_weights.float()
            total_loss = (self.weighted_losses(values, labels, weights, class_counts, embeddings) * own).sum()
            total_weight = (weights[labels] * own).sum()
            usable = total_weight > 0
            # The losses of samples of weight 0 may not sum to zero (label smoothing), so the sum is masked.
            return total_loss * usable / torch.where(usable, total_weight, torch.ones_like(total_weight))

    def probabilities(self, logits: Tensor, class_counts: Tensor) -> Tensor:
        """Class probabilities of a trained model; by default the softmax of its scores.

        Args:
            logits: Scores, floating point (B, C), strongly negative for classes without training samples.
            class_counts: Training samples of each class, (C,).

        Returns:
            Probabilities, fp32 (B, C).
        """
        return logits.float().softmax(dim=1)

    @property
    def has_uncertainty(self) -> bool:
        """Whether the loss defines an uncertainty."""
        return type(self).uncertainty is not ClassificationLoss.uncertainty

    def uncertainty(self, logits: Tensor, class_counts: Tensor) -> Tensor | None:
        """Uncertainty of a trained model's predictions; by default none.

        Args:
            logits: Scores, floating point (B, C).
            class_counts: Training samples of each class, (C,).

        Returns:
            Uncertainty of each sample, (B,) in 0..1; None if the loss does not define one.
        """
        return None

    def adjust(self, logits: Tensor, labels: Tensor, class_counts: Tensor) -> Tensor:
        """Adjust the logits for training; by default unchanged.

        Args:
            logits: Logits, fp32 (B, C).
            labels: Labels, int64 (B,).
            class_counts: Training samples of each class, (C,).

        Returns:
            Adjusted logits, fp32 (B, C).
        """
        return logits

    def weighted_losses(
        self, logits: Tensor, labels: Tensor, class_weights: Tensor, class_counts: Tensor, embeddings: Tensor | None
    ) -> Tensor:
        """Loss of each sample, multiplied by the weight of its class; by default the cross-entropy.

        Args:
            logits: Adjusted logits, fp32 (B, C).
            labels: Labels, int64 (B,).
            class_weights: Weight of each class, fp32 (C,).
            class_counts: Training samples of each class, (C,).
            embeddings: Embeddings, (B, d), or None.

        Returns:
            fp32 (B,).
        """
        return functional.cross_entropy(logits, labels, reduction="none") * class_weights[labels]


def _check_shapes(logits: Tensor, labels: Tensor, class_weights: Tensor, class_counts: Tensor) -> None:
    if logits.ndim != 2 or not logits.is_floating_point():
        raise ValueError(
            f"logits: expected a floating-point tensor of shape (B, C), got {logits.dtype} {tuple(logits.shape)}."
        )
    batch, classes = logits.shape
    expected = (("labels", labels, batch), ("class_weights", class_weights, classes))
    for name, values, size in (*expected, ("class_counts", class_counts, classes)):
        if values.shape != (size,):
            raise ValueError(f"{name}: expected shape ({size},), got {tuple(values.shape)}.")
