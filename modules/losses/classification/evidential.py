"""Evidential loss: logits are evidence for a Dirichlet distribution over class probabilities."""

import math

import torch
from torch import Tensor

from base.ranges import check_range, check_whole
from modules.losses.classification.classification_loss import ClassificationLoss

LARGEST_EXPONENT = 10.0
"""Above this logit evidence grows linearly, so that large logits neither overflow nor lose their gradient."""


class EvidentialLoss(ClassificationLoss):
    """Bayes risk of the cross-entropy under a Dirichlet distribution (Sensoy et al., 2018; TLC, Li et al., 2022).

    With evidence ``exp z_c``, ``alpha_c = 1 + exp z_c`` for the K classes that have training samples, and S the sum of
    alpha, the loss of a sample is ``digamma(S) - digamma(alpha_y)`` (arXiv 1806.01768, equation 4; arXiv 2111.09030).
    Evidence for wrong classes is penalized by ``KL(Dir(1 + [c != y] exp z_c) || Dir(1))``, its divergence from the
    uniform distribution, with a factor that rises from 0 to `regularization` over `annealing_epochs`. Probabilities
    are ``alpha / S`` and the uncertainty is ``K / S``. The experts of the published TLC are set by
    `model.head.experts`.
    """

    def __init__(self, regularization: float = 0.1, annealing_epochs: int = 10) -> None:
        """Create the loss.

        Args:
            regularization: Final factor of the divergence, at least 0.
            annealing_epochs: Epochs over which the factor rises to `regularization`, at least 0; 0 uses it from the
                start.

        Raises:
            ValueError: If a setting is out of range.
        """
        super().__init__()
        check_range("regularization", regularization, 0)
        check_whole("annealing_epochs", annealing_epochs, 0)
        self.regularization, self.annealing_epochs = regularization, annealing_epochs

    def weighted_losses(
        self, logits: Tensor, labels: Tensor, class_weights: Tensor, class_counts: Tensor, embeddings: Tensor | None
    ) -> Tensor:
        """See `ClassificationLoss.weighted_losses`."""
        seen = class_counts > 0
        given = evidence(logits.double())
        alphas = (1 + given) * seen
        # Samples of a class without training samples have weight 0, so any finite loss is right for them.
        own = (1 + given).gather(1, labels.unsqueeze(1)).squeeze(1)
        losses = alphas.sum(dim=1).digamma() - own.digamma()
        factor = self.regularization * min(1.0, self.epoch / max(self.annealing_epochs, 1))
        if self.annealing_epochs == 0:
            factor = self.regularization
        if factor > 0:
            wrong = given.scatter(1, labels.unsqueeze(1), 0.0) * seen
            losses = losses + factor * divergence_from_uniform(wrong, seen)
        return (losses * class_weights[labels]).float()

    def probabilities(self, logits: Tensor, class_counts: Tensor) -> Tensor:
        """See `ClassificationLoss.probabilities`."""
        alphas = (1 + evidence(logits.float())) * (class_counts > 0)
        return alphas / alphas.sum(dim=1, keepdim=True)

    def uncertainty(self, logits: Tensor, class_counts: Tensor) -> Tensor:
        """See `ClassificationLoss.uncertainty`."""
        seen = class_counts > 0
        return seen.sum() / ((1 + evidence(logits.float())) * seen).sum(dim=1)


def evidence(logits: Tensor) -> Tensor:
    """Evidence ``exp z``, continued by its tangent above `LARGEST_EXPONENT`.

    Args:
        logits: Logits, fp32 or fp64, any shape.

    Returns:
        Evidence, at least 0, of the same shape and dtype.
    """
    beyond = (logits - LARGEST_EXPONENT).clamp(min=0)
    return logits.clamp(max=LARGEST_EXPONENT).exp() + math.exp(LARGEST_EXPONENT) * beyond


def divergence_from_uniform(given: Tensor, seen: Tensor) -> Tensor:
    """Divergence ``KL(Dir(1 + evidence) || Dir(1))`` over the classes with training samples.

    Args:
        given: Evidence, fp64 (B, C), 0 for classes without training samples.
        seen: Which classes have training samples, bool (C,).

    Returns:
        fp64 (B,).
    """
    classes = seen.sum().double()
    alphas = 1 + given
    total = given.sum(dim=1) + classes
    # Classes without evidence contribute 0: both lgamma(1) and their factor below are 0.
    difference = (given * (alphas.digamma() - total.digamma().unsqueeze(1))).sum(dim=1)
    return torch.lgamma(total) - torch.lgamma(classes) - torch.lgamma(alphas).sum(dim=1) + difference
