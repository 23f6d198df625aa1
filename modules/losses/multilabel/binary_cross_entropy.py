"""Binary cross-entropy of each label with optional logit adjustment, weights of positives and label smoothing."""

from torch import Tensor
from torch.nn import functional

from base.ranges import check_range
from modules.losses.multilabel.multilabel_loss import MultilabelLoss


class BinaryCrossEntropyLoss(MultilabelLoss):
    """Binary cross-entropy on ``logits + logit_adjustment * log odds``.

    The log odds of a label are those of having it in the training set (logit adjustment; Menon et al., 2021, arXiv
    2007.07314, with the softmax over the two outcomes of a label). The entries of samples that have the label are
    multiplied by ``((known - n) / n)^positive_power``, n the training samples that have it; the divisor of the mean is
    not.
    """

    def __init__(
        self, logit_adjustment: float = 0.0, positive_power: float = 0.0, label_smoothing: float = 0.0
    ) -> None:
        """Create the loss.

        Args:
            logit_adjustment: Factor of the log odds, at least 0; 0 turns logit adjustment off, 1 is the factor of the
                paper.
            positive_power: Exponent of the ratio of samples without the label to samples with it, at least 0; 0 turns
                the weights off, 1 gives both sides of a label the same total weight. A label that all samples have
                has weight 0 if the exponent is positive.
            label_smoothing: Share of the target that is spread evenly over both outcomes of a label, in [0, 1).

        Raises:
            ValueError: If a setting is out of range.
        """
        super().__init__()
        check_range("logit_adjustment", logit_adjustment, 0)
        check_range("positive_power", positive_power, 0)
        check_range("label_smoothing", label_smoothing, 0, below=1)
        self.logit_adjustment = logit_adjustment
        self.positive_power = positive_power
        self.label_smoothing = label_smoothing

    @property
    def removed_prior(self) -> float:
        """See `ClassificationLoss.removed_prior`."""
        return self.logit_adjustment

    def entry_losses(self, logits: Tensor, positive: Tensor, class_counts: Tensor) -> Tensor:
        """See `MultilabelLoss.entry_losses`."""
        targets = positive * (1 - self.label_smoothing) + self.label_smoothing / 2
        values = self.add_prior(logits, class_counts)
        losses = functional.binary_cross_entropy_with_logits(values, targets, reduction="none")
        if self.positive_power == 0:
            return losses
        counts = class_counts.float()
        ratio = (self.known_counts(class_counts) - counts) / counts.clamp(min=1)
        return losses * (ratio**self.positive_power).where(positive, 1.0)
