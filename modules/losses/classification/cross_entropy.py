"""Class-weighted cross-entropy with optional logit adjustment and label smoothing."""

from torch import Tensor
from torch.nn import functional

from base.ranges import check_range
from modules.losses.classification.class_priors import log_priors
from modules.losses.classification.classification_loss import ClassificationLoss


class CrossEntropyLoss(ClassificationLoss):
    """Class-weighted cross-entropy on ``logits + logit_adjustment * log prior``.

    The prior is each class's share of the training samples (logit adjustment; Menon et al., 2021, arXiv 2007.07314). A
    factor of 1 equals the balanced softmax (Ren et al., 2020, arXiv 2007.10740). With a factor of 0 the class counts
    are not used.
    """

    def __init__(self, logit_adjustment: float = 0.0, label_smoothing: float = 0.0) -> None:
        """Create the loss.

        Args:
            logit_adjustment: Factor of the log prior, at least 0; 0 turns logit adjustment off, 1 is the factor of the
                papers.
            label_smoothing: Share of the target that is spread evenly over all classes, in [0, 1).

        Raises:
            ValueError: If a setting is out of range.
        """
        super().__init__()
        check_range("logit_adjustment", logit_adjustment, 0)
        check_range("label_smoothing", label_smoothing, 0, below=1)
        self.logit_adjustment = logit_adjustment
        self.label_smoothing = label_smoothing
        self.uses_counts = logit_adjustment > 0

    @property
    def removed_prior(self) -> float:
        """See `ClassificationLoss.removed_prior`."""
        return self.logit_adjustment

    def adjust(self, logits: Tensor, labels: Tensor, class_counts: Tensor) -> Tensor:
        """Add the log priors."""
        return logits + self.logit_adjustment * log_priors(class_counts)

    def weighted_losses(
        self, logits: Tensor, labels: Tensor, class_weights: Tensor, class_counts: Tensor, embeddings: Tensor | None
    ) -> Tensor:
        """See `ClassificationLoss.weighted_losses`; the smoothed share of the target has the weight of each class."""
        return functional.cross_entropy(
            logits, labels, weight=class_weights, label_smoothing=self.label_smoothing, reduction="none"
        )
