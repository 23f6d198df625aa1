"""Distribution-balanced loss."""

import torch
from torch import Tensor
from torch.nn import functional

from base.ranges import check_range
from modules.losses.multilabel.multilabel_loss import MultilabelLoss


class DistributionBalancedLoss(MultilabelLoss):
    """Binary cross-entropy with weights for labels that occur together and tolerance for the absence of a label.

    Wu et al. (2020, arXiv 2007.09654), without the focal factor that their experiments add. The loss of an entry is
    ``r * log(1 + exp(-v))`` if the sample has the label, else ``r * log(1 + exp(negative_scale * v)) /
    negative_scale``, with ``v = logit + kappa * log odds``: the class-specific bias of the negative-tolerant
    regularization, whose prior odds are computed with `MultilabelLoss.log_odds`.

    The weight is ``r = alpha + sigmoid(beta * (q - mu))``, where q divides 1/n of the label by the sum of 1/n over the
    labels that the sample is known to have, n the training samples that have a label. If samples are drawn evenly over
    the labels, q is the share of a sample's draws that are due to the label. A sample without labels would never be
    drawn; it has the limit of the weight for large q.
    """

    def __init__(
        self,
        alpha: float = 0.1,
        beta: float = 10.0,
        mu: float = 0.2,
        kappa: float = 0.05,
        negative_scale: float = 2.0,
    ) -> None:
        """Create the loss.

        Args:
            alpha: Smallest weight, at least 0.
            beta: Steepness of the weight, at least 0; 0 weights all entries the same.
            mu: Share q at which the weight is ``alpha + 1/2``, at least 0.
            kappa: Factor of the log odds that are added to the logits, at least 0; 0 turns the bias off.
            negative_scale: Factor of the logits of samples that have not the label, at least 1, by which their loss is
                divided; 1 turns the tolerance off.

        Raises:
            ValueError: If a setting is out of range.
        """
        super().__init__()
        check_range("alpha", alpha, 0)
        check_range("beta", beta, 0)
        check_range("mu", mu, 0)
        check_range("kappa", kappa, 0)
        check_range("negative_scale", negative_scale, 1)
        self.alpha = alpha
        self.beta = beta
        self.mu = mu
        self.kappa = kappa
        self.negative_scale = negative_scale

    @property
    def removed_prior(self) -> float:
        """See `ClassificationLoss.removed_prior`."""
        return self.kappa

    def entry_losses(self, logits: Tensor, positive: Tensor, class_counts: Tensor) -> Tensor:
        """See `MultilabelLoss.entry_losses`."""
        values = self.add_prior(logits, class_counts)
        with_label = -functional.logsigmoid(values)
        without_label = -functional.logsigmoid(-self.negative_scale * values) / self.negative_scale
        return self._weights(positive, class_counts) * torch.where(positive, with_label, without_label)

    def _weights(self, positive: Tensor, class_counts: Tensor) -> Tensor:
        counts = class_counts.float()
        inverse = torch.where(counts > 0, 1 / counts.clamp(min=1), torch.zeros_like(counts))
        total = (positive * inverse).sum(dim=1, keepdim=True)
        shares = inverse / total.clamp(min=torch.finfo(total.dtype).tiny)
        return self.alpha + torch.sigmoid(self.beta * (shares - self.mu))
