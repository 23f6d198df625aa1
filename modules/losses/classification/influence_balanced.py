"""Influence-balanced loss: samples that pull hard at the decision boundary count less."""

import torch
from torch import Tensor
from torch.nn import functional

from modules.losses.classification.class_priors import normalized_weights
from modules.losses.classification.classification_loss import ClassificationLoss, check_range


class InfluenceBalancedLoss(ClassificationLoss):
    """Cross-entropy over a sample's influence (Park et al., 2021, arXiv 2110.02444).

    ``lambda_y * CE / (||p - e_y||_1 * ||h||_1 + epsilon) * alpha``, p the probabilities, e_y the label as a vector, h
    the embedding, and lambda the inverse class counts with a mean of 1. The factor has no gradient. The paper's h is
    the input of the last layer, which the embedding is unless `model.classifier_dims` is set.
    """

    def __init__(self, alpha: float = 1000.0, epsilon: float = 1e-3, start_epoch: int = 0) -> None:
        """Store the settings.

        Args:
            alpha: Factor of the loss, at least 0.
            epsilon: Added to the influence, positive.
            start_epoch: Before this epoch it is cross-entropy; the paper's is the middle of training.

        Raises:
            ValueError: Where one is out of range.
        """
        super().__init__()
        check_range("alpha", alpha, 0)
        check_range("epsilon", epsilon, torch.finfo(torch.float32).tiny)
        check_range("start_epoch", start_epoch, 0)
        self.alpha, self.epsilon, self.start_epoch = alpha, epsilon, start_epoch

    def weighted_losses(
        self, logits: Tensor, labels: Tensor, class_weights: Tensor, class_counts: Tensor, embeddings: Tensor | None
    ) -> Tensor:
        """See the class.

        Raises:
            ValueError: If the embeddings are missing.
        """
        losses = functional.cross_entropy(logits, labels, reduction="none") * class_weights[labels]
        if self.epoch < self.start_epoch:
            return losses
        if embeddings is None or embeddings.shape[:1] != labels.shape:
            shape = None if embeddings is None else tuple(embeddings.shape)
            raise ValueError(f"embeddings must have shape ({len(labels)}, d), got {shape}")
        with torch.no_grad():
            # ||p - e_y||_1 is the probability missing from the class and the same again in the others.
            missing = -(-functional.cross_entropy(logits, labels, reduction="none")).expm1()
            influence = 2 * missing * embeddings.float().abs().sum(dim=1)
            balance = normalized_weights(1 / class_counts.float().clamp(min=1), class_counts)
            factors = self.alpha * balance[labels] / (influence + self.epsilon)
        return losses * factors
