"""From logits to the probabilities of several labels, and which of them are predicted."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from base.errors import InputError
from modules.decision import NEVER, Decision
from modules.decisions.objectives import DecisionObjective, LabelObjective
from modules.evaluation.logit_correction import LogitCorrection
from modules.evaluation.split_metrics import SplitMetrics
from modules.evaluation.split_scores import SplitScores
from modules.losses.multilabel.multilabel_loss import MultilabelLoss
from modules.multilabel.calibration import LabelCalibration, label_logits
from modules.multilabel.prediction_sets import LabelPredictionSets


class LabelDecision(Decision):
    """Predicts each label whose score is above its threshold, which is minus its `class_offset`.

    Scores are the log odds of a label; probabilities have the prior of training, whatever prior the loss has removed,
    and labels without positive training samples are never predicted.
    """

    loss: MultilabelLoss
    calibration: LabelCalibration

    def __init__(self, class_counts: Tensor, loss: MultilabelLoss) -> None:
        """Create a decision that predicts labels of probability one half and more, without calibration.

        Args:
            class_counts: Training samples that have each label, int64 (L,).
            loss: Loss that the logits are trained with.
        """
        super().__init__(class_counts, loss)
        self.calibration = LabelCalibration(class_counts)

    def corrected(self, logits: Tensor) -> Tensor:
        """Log odds of the labels with the prior of training, fp32 (B, L), from the logits of the head, (B, L)."""
        offset = self.loss.removed_prior * self.loss.log_odds(self.counts)
        return (logits.float() + offset).masked_fill(self.counts == 0, NEVER)

    def probabilities(self, logits: Tensor) -> Tensor:
        """Probabilities of the labels before calibration, fp32 (B, L), from the logits of the head, (B, L)."""
        return self.loss.probabilities(self.corrected(logits), self.counts)

    def calibrated(self, logits: Tensor) -> Tensor:
        """Probabilities of the labels after calibration, fp32 (B, L), from the logits of the head, (B, L).

        They are not computed from `probabilities`, of which near 1 few digits of the log odds are left.
        """
        return self.calibration.of_logits(self.corrected(logits))

    def labels(self, probabilities: Tensor) -> Tensor:
        """Which labels are predicted, 1 or 0, int64 (B, L), from probabilities before calibration, (B, L)."""
        return ((label_logits(probabilities) + self.class_offset > 0) & (self.counts > 0)).long()

    def labels_at_prior(self, logits: Tensor) -> Tensor:
        """Labels of probability one half and more, as plain binary cross-entropy predicts them; int64 (B, L)."""
        return (self.corrected(logits) > 0).long()

    def evaluate(self, scores: SplitScores, metrics: SplitMetrics) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """See `Decision.evaluate`."""
        probabilities = self.probabilities(scores.logits)
        return metrics.of_split(probabilities, scores.labels, self.calibration, self.labels(probabilities))

    def use(self, correction: LogitCorrection | None) -> None:
        """Refuse a correction of logits, which is made for classes that exclude each other.

        Raises:
            ValueError: If there is one.
        """
        if correction is not None:
            raise ValueError(f"stages: expected no correction with data.labels multi, got {type(correction).__name__}.")

    @torch.no_grad()
    def fit(self, logits: Tensor, labels: Tensor, classifier: nn.Module) -> float | None:
        """Fit the calibration, and forget the thresholds.

        Args:
            logits: Logits of the head for validation samples, fp32 (N, L).
            labels: Labels, (N, L).
            classifier: Not used.
        """
        self.class_offset.zero_()
        self.calibration.fit(self.probabilities(logits), labels)
        return None

    @torch.no_grad()
    def choose(self, scores: SplitScores, objective: DecisionObjective, head: Sequence[int]) -> None:
        """Let an objective choose the thresholds, deterministically, and fit the calibration.

        Args:
            scores: Scores of samples that the model was not trained on, of all processes.
            objective: The objective, which must be a `LabelObjective`.
            head: Not used.

        Raises:
            InputError: If the objective is one for a single label.
        """
        if not isinstance(objective, LabelObjective):
            raise InputError(f"objective: expected one for several labels a sample, got {type(objective).__name__}.")
        known = scores.in_order()
        # A label that is never predicted has no threshold.
        labels = known.labels.masked_fill(self.counts == 0, -1)
        given = label_logits(self.probabilities(known.logits)), labels, self.loss.log_odds(self.counts)
        found = objective.thresholds(*(values.cpu() for values in given))
        self.class_offset.copy_(-found)
        self.calibration.fit(self.probabilities(scores.logits), scores.labels)

    def sets(self, scores: SplitScores, head: Sequence[int], coverage: float) -> LabelPredictionSets:
        """Choose prediction sets, which take the logits of the head; they do not depend on the objective.

        Args:
            scores: Scores of samples that the model was not trained on, of all processes.
            head: Not used.
            coverage: Share of the labels of all samples that their sets must hold, above 0 and below 1.

        Raises:
            InputError: If `coverage` is not in this range.
        """
        known, priors = scores.in_order(), self.loss.log_odds(self.counts)
        given = self.corrected(known.logits), known.labels, self.counts, priors
        log_odds, labels, counts, frequency = (values.cpu() for values in given)
        sets = LabelPredictionSets.of_labels(log_odds, labels, counts, frequency, coverage)
        offset = (self.loss.removed_prior * priors).masked_fill(self.counts == 0, NEVER)
        return sets.of_logits(torch.ones_like(sets.scale), offset.cpu())
