"""Evidential loss: logits are evidence for a Dirichlet distribution over class probabilities."""

import math

import torch
from torch import Tensor

from modules.losses.classification.classification_loss import ClassificationLoss, check_range

LARGEST_EXPONENT = 10.0
"""From this logit on evidence grows linearly, so that no logit overflows or loses its gradient."""


class EvidentialLoss(ClassificationLoss):
    """Bayes risk of cross-entropy under a Dirichlet distribution (Sensoy et al., 2018; TLC of Li et al., 2022).

    With evidence ``exp z_c`` and ``alpha_c = 1 + exp z_c`` for the K classes that have training samples and S the sum
    of alpha, a sample costs ``digamma(S) - digamma(alpha_y)`` and, by a factor that rises from 0 to `regularization`
    over `annealing_epochs`, the divergence of the evidence for wrong classes from none,
    ``KL(Dir(1 + [c != y] exp z_c) || Dir(1))`` (arXiv 1806.01768, equation 4; arXiv 2111.09030). Probabilities are
    ``alpha / S``, and ``K / S`` says how little evidence there is. The experts of the published TLC are a setting of
    the model.
    """

    def __init__(self, regularization: float = 0.1, annealing_epochs: int = 10) -> None:
        """Store the settings.

        Args:
            regularization: Largest factor of the divergence, at least 0.
            annealing_epochs: Epochs until it is reached, at least 0.

        Raises:
            ValueError: Where one is out of range.
        """
        super().__init__()
        check_range("regularization", regularization, 0)
        check_range("annealing_epochs", annealing_epochs, 0)
        self.regularization, self.annealing_epochs = regularization, annealing_epochs

    def weighted_losses(
        self, logits: Tensor, labels: Tensor, class_weights: Tensor, class_counts: Tensor, embeddings: Tensor | None
    ) -> Tensor:
        """See the class."""
        seen = class_counts > 0
        given = evidence(logits.double())
        alphas = (1 + given) * seen
        # A class without training samples weighs 0; any finite value does for its samples.
        own = (1 + given).gather(1, labels.unsqueeze(1)).squeeze(1)
        losses = alphas.sum(dim=1).digamma() - own.digamma()
        factor = self.regularization * min(1.0, self.epoch / max(self.annealing_epochs, 1))
        if self.annealing_epochs == 0:
            factor = self.regularization
        if factor > 0:
            wrong = given.scatter(1, labels.unsqueeze(1), 0.0) * seen
            losses = losses + factor * divergence_from_none(wrong, seen)
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
    """``exp z``, and its tangent from `LARGEST_EXPONENT` on.

    Args:
        logits: fp32 or fp64, of any shape.
    """
    beyond = (logits - LARGEST_EXPONENT).clamp(min=0)
    return logits.clamp(max=LARGEST_EXPONENT).exp() + math.exp(LARGEST_EXPONENT) * beyond


def divergence_from_none(given: Tensor, seen: Tensor) -> Tensor:
    """``KL(Dir(1 + evidence) || Dir(1))`` over the classes that take part.

    Args:
        given: Evidence, fp64 (B, C), 0 for the others.
        seen: Which classes take part, bool (C,).

    Returns:
        fp64 (B,).
    """
    classes = seen.sum().double()
    alphas = 1 + given
    total = given.sum(dim=1) + classes
    # A class without evidence adds nothing to the sums: lgamma(1) and the factor are 0.
    difference = (given * (alphas.digamma() - total.digamma().unsqueeze(1))).sum(dim=1)
    return torch.lgamma(total) - torch.lgamma(classes) - torch.lgamma(alphas).sum(dim=1) + difference
