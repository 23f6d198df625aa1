"""Class-weighted cross-entropy with optional logit adjustment and label smoothing."""

import torch
from torch import Tensor, nn
from torch.nn import functional

# Added to the logit of a class that the prior rules out: its softmax is exactly 0 in fp32, its loss finite.
EXCLUDED_LOGIT = -1e4


class CrossEntropyLoss(nn.Module):
    """Cross-entropy with class weights (PyTorch's weighted mean), on logits shifted by the class prior.

    With `logit_adjustment` above 0 the logits become ``logits + logit_adjustment * log prior``, where the prior
    is each class's share of the training samples (Menon et al., 2021, arXiv 2007.07314).

    A class without training samples has a prior of 0, and the formula's limit is a probability of 0: under
    logit adjustment it takes no part in the softmax. A sample of such a class, which only a validation or test
    split can hold, would then cost an infinite loss however good the model; it gets weight 0 instead. A made-up
    count of 1 would claim a prior that the data do not show. Without logit adjustment the counts are not used.
    """

    def __init__(self, logit_adjustment: float = 0.0, label_smoothing: float = 0.0) -> None:
        """Store the settings.

        Args:
            logit_adjustment: Factor of the log prior, at least 0; 0 turns it off, 1 is the paper's.
            label_smoothing: Share of the target spread evenly over all classes, in [0, 1).

        Raises:
            ValueError: Where a setting is out of range.
        """
        super().__init__()
        if not 0 <= logit_adjustment < float("inf"):
            raise ValueError(f"logit_adjustment must be at least 0 and finite, got {logit_adjustment}")
        if not 0 <= label_smoothing < 1:
            raise ValueError(f"label_smoothing must lie in [0, 1), got {label_smoothing}")
        self.logit_adjustment = logit_adjustment
        self.label_smoothing = label_smoothing

    def forward(self, logits: Tensor, labels: Tensor, class_weights: Tensor, class_counts: Tensor) -> Tensor:
        """Compute the loss in fp32, whatever the precision of the inputs and under autocast.

        Args:
            logits: Floating point (B, C).
            labels: int64 (B,) in 0..C-1.
            class_weights: Weight of each class, at least 0, (C,).
            class_counts: Training samples of each class, (C,).

        Returns:
            fp32 scalar: the weighted sum of the samples' losses over the sum of their weights. A zero that is
            connected to the graph where the weights of the whole batch are 0.

        Raises:
            ValueError: Where the shapes do not fit.
        """
        _check_shapes(logits, labels, class_weights, class_counts)
        with torch.autocast(device_type=logits.device.type, enabled=False):
            values, weights = logits.float(), class_weights.float()
            if self.logit_adjustment > 0:
                seen = class_counts > 0
                values = values + self._prior_shift(class_counts.float(), seen)
                weights = weights * seen
            total_loss = functional.cross_entropy(
                values, labels, weight=weights, label_smoothing=self.label_smoothing, reduction="sum"
            )
            total_weight = weights[labels].sum()
            usable = total_weight > 0
            # Under label smoothing the sum is not zero for a batch of weight 0, so it is multiplied away.
            return total_loss * usable / torch.where(usable, total_weight, torch.ones_like(total_weight))

    def _prior_shift(self, class_counts: Tensor, seen: Tensor) -> Tensor:
        """Compute what is added to each class's logit, (C,)."""
        log_prior = class_counts.clamp(min=1).log() - class_counts.sum().clamp(min=1).log()
        return (self.logit_adjustment * log_prior).masked_fill(~seen, EXCLUDED_LOGIT)


def _check_shapes(logits: Tensor, labels: Tensor, class_weights: Tensor, class_counts: Tensor) -> None:
    if logits.ndim != 2 or not logits.is_floating_point():
        raise ValueError(f"logits must be floating point (B, C), got {logits.dtype} {tuple(logits.shape)}")
    batch, classes = logits.shape
    expected = (("labels", labels, batch), ("class_weights", class_weights, classes))
    for name, values, size in (*expected, ("class_counts", class_counts, classes)):
        if values.shape != (size,):
            raise ValueError(f"{name} must have shape ({size},), got {tuple(values.shape)}")
