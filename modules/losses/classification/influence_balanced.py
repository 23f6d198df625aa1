"""Influence-balanced loss: samples with a large influence on the decision boundary are down-weighted."""

import torch
from torch import Tensor
from torch.nn import functional

from base.ranges import check_positive, check_range, check_whole
from modules.losses.classification.class_priors import normalized_weights
from modules.losses.classification.classification_loss import ClassificationLoss


class InfluenceBalancedLoss(ClassificationLoss):
    """Cross-entropy divided by the influence of the sample (Park et al., 2021, arXiv 2110.02444).

    ``alpha * lambda_y * CE / (||p - e_y||_1 * ||h||_1 + epsilon)``, with p the probabilities, e_y the one-hot label, h
    the embedding, and lambda the inverse class counts with a mean of 1. No gradient flows through the factor. In the
    paper h is the input of the last layer, which is the embedding unless `model.head.hidden_dims` is set.
    """

    def __init__(self, alpha: float = 1000.0, epsilon: float = 1e-3, start_epoch: int = 0) -> None:
        """Create the loss.

        Args:
            alpha: Factor of the loss, at least 0.
            epsilon: Positive constant added to the influence for stability.
            start_epoch: First epoch of the influence-balanced loss, before which the loss is the cross-entropy; the
                paper uses the middle of training.

        Raises:
            ValueError: If a setting is out of range.
        """
        super().__init__()
        check_range("alpha", alpha, 0)
        check_positive("epsilon", epsilon)
        check_whole("start_epoch", start_epoch, 0)
        self.alpha, self.epsilon, self.start_epoch = alpha, epsilon, start_epoch

    def weighted_losses(
        self, logits: Tensor, labels: Tensor, class_weights: Tensor, class_counts: Tensor, embeddings: Tensor | None
    ) -> Tensor:
        """See `ClassificationLoss.weighted_losses`.

        Raises:
            ValueError: If the embeddings are missing or their number does not match.
        """
        losses = functional.cross_entropy(logits, labels, reduction="none") * class_weights[labels]
        if self.epoch < self.start_epoch:
            return losses
        if embeddings is None or embeddings.shape[:1] != labels.shape:
            shape = None if embeddings is None else tuple(embeddings.shape)
            raise ValueError(f"embeddings: expected shape ({len(labels)}, d), got {shape}.")
        with torch.no_grad():
            # ||p - e_y||_1 is 1 - p_y, missing from the class of the sample, plus the same amount in the other classes.
            missing = -(-functional.cross_entropy(logits, labels, reduction="none")).expm1()
            influence = 2 * missing * embeddings.float().abs().sum(dim=1)
            balance = normalized_weights(1 / class_counts.float().clamp(min=1), class_counts)
            factors = self.alpha * balance[labels] / (influence + self.epsilon)
        return losses * factors
