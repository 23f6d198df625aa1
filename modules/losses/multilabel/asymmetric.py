"""Asymmetric loss."""

import torch
from torch import Tensor
from torch.nn import functional

from base.ranges import check_range
from modules.losses.multilabel.multilabel_loss import MultilabelLoss


class AsymmetricLoss(MultilabelLoss):
    """Focal loss of each label that focuses more on hard entries without the label than on those with it.

    ``-(1 - p)^gamma_positive log p`` if the sample has the label, else ``-p_m^gamma_negative log(1 - p_m)`` with
    ``p_m = max(p - margin, 0)`` (Ridnik et al., 2021, arXiv 2009.14119). Gradients flow through both factors, as in the
    gradient that the paper derives; its authors' code can also hold the first constant. With both exponents and the
    margin 0 it is the binary cross-entropy.
    """

    def __init__(
        self,
        gamma_positive: float = 0.0,
        gamma_negative: float = 4.0,
        margin: float = 0.05,
        logit_adjustment: float = 0.0,
    ) -> None:
        """Create the loss.

        Args:
            gamma_positive: Focusing parameter of samples that have the label, at least 0; 0 turns it off.
            gamma_negative: Focusing parameter of samples that do not have it, at least 0; 0 turns it off.
            margin: Probability below which a sample without the label has no loss, in [0, 1).
            logit_adjustment: Factor of the log odds that are added to the logits before the probabilities are computed,
                at least 0; 0 turns it off, as in the paper.

        Raises:
            ValueError: If a setting is out of range.
        """
        super().__init__()
        check_range("gamma_positive", gamma_positive, 0)
        check_range("gamma_negative", gamma_negative, 0)
        check_range("margin", margin, 0, below=1)
        check_range("logit_adjustment", logit_adjustment, 0)
        self.gamma_positive = gamma_positive
        self.gamma_negative = gamma_negative
        self.margin = margin
        self.logit_adjustment = logit_adjustment

    @property
    def removed_prior(self) -> float:
        """See `ClassificationLoss.removed_prior`."""
        return self.logit_adjustment

    def entry_losses(self, logits: Tensor, positive: Tensor, class_counts: Tensor) -> Tensor:
        """See `MultilabelLoss.entry_losses`."""
        values = self.add_prior(logits, class_counts)
        log_with, log_without = functional.logsigmoid(values), functional.logsigmoid(-values)
        with_label = -(self.gamma_positive * log_without).exp() * log_with
        # log(1 - p_m), since 1 - p_m is the smaller of 1 - p + margin and 1; exact for probabilities close to 1.
        log_rest = torch.logaddexp(log_without, values.new_full((), self.margin).log()).clamp(max=0)
        # For gamma below 1 the gradient of the power is infinite at 0.
        shifted = (-log_rest.expm1()).clamp(min=1e-12)
        without_label = -(shifted**self.gamma_negative) * log_rest
        return torch.where(positive, with_label, without_label)
