"""What every classification loss shares: checks, precision, class weights and the mean."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from modules.losses.classification.class_priors import exclude_unseen


class ClassificationLoss(nn.Module):
    """Cross-entropy whose parts a loss replaces: how logits are adjusted in training, and what a sample costs.

    The mean over a batch is weighted by the class weights, as PyTorch's weighted cross-entropy is. Where a loss uses
    the class counts, a class without training samples has a prior of 0: it takes no part in the softmax, and a sample
    of it, which only a validation or test split can hold, gets weight 0 instead of an infinite loss.
    """

    uses_counts = True
    """Whether classes without training samples are left out."""

    epoch = 0
    """The current epoch, for losses with a schedule."""

    def set_epoch(self, epoch: int) -> None:
        """Tell the loss which epoch begins.

        Args:
            epoch: From 0.
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
            logits: Floating point (B, C).
            labels: int64 (B,) in 0..C-1.
            class_weights: Weight of each class, at least 0, (C,).
            class_counts: Training samples of each class, (C,).
            embeddings: What the logits were computed from, (B, d), for the losses that look at them.
            sample_weights: Weight of each sample beside its class's, at least 0, (B,); 1 if None.

        Returns:
            fp32 scalar: the weighted sum of the samples' losses over the sum of their weights. A zero that is
            connected to the graph where the weights of the whole batch are 0.

        Raises:
            ValueError: Where the shapes do not fit.
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
            # Losses of weight 0 need not add up to zero, so they are multiplied away.
            return total_loss * usable / torch.where(usable, total_weight, torch.ones_like(total_weight))

    def probabilities(self, logits: Tensor, class_counts: Tensor) -> Tensor:
        """Class probabilities from the scores of a trained model: their softmax unless a loss says otherwise.

        Args:
            logits: Floating point (B, C), far below 0 for classes without training samples.
            class_counts: (C,).

        Returns:
            fp32 (B, C).
        """
        return logits.float().softmax(dim=1)

    def uncertainty(self, logits: Tensor, class_counts: Tensor) -> Tensor | None:
        """How little a model that was trained with this loss knows of a sample, in 0..1, (B,); None if it cannot say.

        Args:
            logits: Floating point (B, C).
            class_counts: (C,).
        """
        return None

    def adjust(self, logits: Tensor, labels: Tensor, class_counts: Tensor) -> Tensor:
        """Change the logits for training; they stay as they are unless a loss says otherwise.

        Args:
            logits: fp32 (B, C).
            labels: int64 (B,).
            class_counts: (C,).

        Returns:
            fp32 (B, C).
        """
        return logits

    def weighted_losses(
        self, logits: Tensor, labels: Tensor, class_weights: Tensor, class_counts: Tensor, embeddings: Tensor | None
    ) -> Tensor:
        """What each sample costs, times the weight of its class, fp32 (B,).

        Args:
            logits: fp32 (B, C), adjusted.
            labels: int64 (B,).
            class_weights: fp32 (C,).
            class_counts: (C,).
            embeddings: (B, d), if the caller has them.
        """
        return functional.cross_entropy(logits, labels, reduction="none") * class_weights[labels]


def check_range(name: str, value: float, lowest: float, below: float = float("inf")) -> None:
    """Check a setting of a loss.

    Raises:
        ValueError: If the value is below the lowest, or not below the other bound.
    """
    if not lowest <= value < below:
        allowed = f"be at least {lowest:g} and finite" if below == float("inf") else f"lie in [{lowest:g}, {below:g})"
        raise ValueError(f"{name} must {allowed}, got {value}")


def _check_shapes(logits: Tensor, labels: Tensor, class_weights: Tensor, class_counts: Tensor) -> None:
    if logits.ndim != 2 or not logits.is_floating_point():
        raise ValueError(f"logits must be floating point (B, C), got {logits.dtype} {tuple(logits.shape)}")
    batch, classes = logits.shape
    expected = (("labels", labels, batch), ("class_weights", class_weights, classes))
    for name, values, size in (*expected, ("class_counts", class_counts, classes)):
        if values.shape != (size,):
            raise ValueError(f"{name} must have shape ({size},), got {tuple(values.shape)}")
