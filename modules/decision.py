"""From logits to class probabilities and labels, with what was chosen on samples that training did not see."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from modules.decisions.objectives import DecisionObjective, HeadKept
from modules.decisions.samples import DecisionSamples
from modules.evaluation.calibration import TemperatureScaling
from modules.evaluation.logit_correction import LogitCorrection
from modules.evaluation.prediction import Prediction
from modules.evaluation.prediction_sets import PredictionSets
from modules.evaluation.split_metrics import SplitMetrics
from modules.evaluation.split_scores import SplitScores
from modules.evaluation.threshold_sets import ThresholdSets
from modules.losses import ClassificationLoss
from modules.losses.classification.class_priors import log_priors, prior_slope
from modules.second_opinions import SecondOpinions

NEVER = -1e4
"""Score of a class that is never predicted; its probability is 0 in every precision."""


class Decision(nn.Module):
    """Corrects logits, converts them to probabilities, calibrates the probabilities and predicts labels.

    Scores are ``scale_c * logit_c + offset_c + class_offset_c``: the correction of a training stage, then what an
    objective has chosen after training. Classes without training samples are never predicted.

    Attributes:
        correction: Chooses scale and offset on the validation samples; None leaves them unchanged.
        calibration: Temperature scaling, fitted on the validation samples.
        opinions: The second opinions, which are part of the logits that the decision is given.
        logit_scale: Scale of each class's logit, fp32 (C,).
        logit_offset: Offset of each class's logit, fp32 (C,).
        class_offset: Offset of each class that the objective has chosen, fp32 (C,).
        head_kept_offset: As `class_offset`, by the objective `HeadKept`; NaN before `choose`.
        removed_prior: Strength of the prior that training has removed from the logits, fp32 ().
        costs: Cost of each true class (row) predicted as each class (column), fp32 (C, C), whose expectation labels
            minimize; None predicts the most probable class.
    """

    counts: Tensor
    logit_scale: Tensor
    logit_offset: Tensor
    class_offset: Tensor
    head_kept_offset: Tensor
    removed_prior: Tensor

    def __init__(self, class_counts: Tensor, loss: ClassificationLoss) -> None:
        """Create a decision without correction or calibration.

        Args:
            class_counts: Training samples of each class, int64 (C,).
            loss: Loss that the logits are trained with, which defines probabilities and uncertainties.
        """
        super().__init__()
        self.loss = loss
        self.correction: LogitCorrection | None = None
        self.costs: Tensor | None = None
        self.register_buffer("counts", class_counts, persistent=False)
        self.register_buffer("logit_scale", torch.ones(len(class_counts)))
        self.register_buffer("logit_offset", torch.zeros(len(class_counts)))
        self.register_buffer("class_offset", torch.zeros(len(class_counts)))
        self.register_buffer("head_kept_offset", torch.full((len(class_counts),), torch.nan))
        self.register_buffer("removed_prior", torch.tensor(float(loss.removed_prior)))
        self.calibration = TemperatureScaling(class_counts)
        self.opinions = SecondOpinions(len(class_counts))

    def corrected(self, logits: Tensor) -> Tensor:
        """Scores before the choice of an objective, fp32 (B, C), from the logits of the head, (B, C)."""
        return (self.logit_scale * logits.float() + self.logit_offset).masked_fill(self.counts == 0, NEVER)

    def scores(self, logits: Tensor) -> Tensor:
        """Scores, fp32 (B, C), from the logits of the head, (B, C)."""
        return self.corrected(logits) + self.class_offset

    def probabilities(self, logits: Tensor) -> Tensor:
        """Class probabilities before calibration, fp32 (B, C), from the logits of the head, (B, C)."""
        return self.loss.probabilities(self.scores(logits), self.counts)

    def calibrated(self, logits: Tensor) -> Tensor:
        """Class probabilities after calibration, fp32 (B, C), from the logits of the head, (B, C)."""
        calibrated: Tensor = self.calibration(self.probabilities(logits))
        return calibrated

    def labels(self, probabilities: Tensor) -> Tensor:
        """Predicted labels, int64 (B,), from probabilities before calibration, (B, C)."""
        if self.costs is None:
            return probabilities.argmax(dim=1)
        expected: Tensor = self.calibration(probabilities) @ self.costs.to(probabilities.device)
        return expected.masked_fill(self.counts == 0, torch.inf).argmin(dim=1)

    def labels_at_prior(self, logits: Tensor) -> Tensor:
        """Labels as plain cross-entropy predicts them, with the prior that training has removed; int64 (B,).

        Args:
            logits: Logits of the head alone, (B, C). The temperature that comes with a second opinion makes
                them less sure, and the prior beside them stronger, than they are after cross-entropy.
        """
        scores = logits.float() + self.removed_prior * log_priors(self.counts)
        return scores.masked_fill(self.counts == 0, NEVER).argmax(dim=1)

    def predict(self, sample_index: Tensor, embeddings: Tensor, logits: Tensor, at_prior: Tensor) -> Prediction:
        """Predict the samples of a batch.

        Args:
            sample_index: Index of each sample, int64 (B,).
            embeddings: Embeddings, (B, d).
            logits: Logits of the head with the second opinions, (B, C).
            at_prior: `labels_at_prior` without these, int64 (B,).
        """
        probabilities = self.probabilities(logits)
        calibrated, uncertainty = self.calibrated(logits), self.uncertainty(logits)
        labels = self.labels(probabilities)
        return Prediction(sample_index, probabilities, calibrated, uncertainty, embeddings, logits, labels, at_prior)

    def evaluate(self, scores: SplitScores, metrics: SplitMetrics) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Compute the metrics of a split; must be called on all processes.

        Args:
            scores: Scores of the samples of this process.
            metrics: Metrics without samples, which are reset.

        Returns:
            See `SplitMetrics.of_split`.
        """
        probabilities, compared = self.probabilities(scores.logits), self.compared_labels(scores)
        return metrics.of_split(probabilities, scores.labels, self.calibration, self.labels(probabilities), compared)

    def compared_labels(self, scores: SplitScores) -> dict[str, Tensor]:
        """Labels of the decisions that this one is compared with, int64 (N,) each; none before `choose`.

        Args:
            scores: Scores of N samples.

        Returns:
            Labels by the objective `HeadKept`, as `head_kept`, and at the training prior, as `at_prior`.
        """
        if bool(self.head_kept_offset.isnan().any()):
            return {}
        kept = (self.corrected(scores.logits) + self.head_kept_offset).argmax(dim=1)
        return {"head_kept": kept, "at_prior": scores.at_prior}

    def uncertainty(self, logits: Tensor) -> Tensor | None:
        """Uncertainty of each prediction by any objective, (B,) in 0..1; None if the loss does not define one."""
        return self.loss.uncertainty(self.corrected(logits), self.counts)

    @property
    def has_uncertainty(self) -> bool:
        """Whether predictions come with an uncertainty."""
        return self.loss.has_uncertainty

    def use(self, correction: LogitCorrection | None) -> None:
        """Use a correction from the next `fit` on; without one, logits are no longer corrected.

        Args:
            correction: Correction of the current training stage.
        """
        self.correction = correction
        if correction is None:
            self.logit_scale.fill_(1.0)
            self.logit_offset.zero_()

    @torch.no_grad()
    def fit(self, logits: Tensor, labels: Tensor, classifier: nn.Module) -> float | None:
        """Fit the correction, if there is one, and the calibration; forget what an objective has chosen.

        Args:
            logits: Logits of the head for validation samples, fp32 (N, C).
            labels: Labels, int64 (N,).
            classifier: Classification head.

        Returns:
            Strength of the correction; None without correction.
        """
        self.opinions.forget()
        self.class_offset.zero_()
        self.head_kept_offset.fill_(torch.nan)
        self.costs, strength = None, None
        if self.correction is not None:
            strength, scale, offset = self.correction.choose(logits, labels, self.counts, classifier)
            self.logit_scale.copy_(scale)
            self.logit_offset.copy_(offset)
        self._fit_calibration(logits, labels)
        return strength

    @torch.no_grad()
    def choose(self, scores: SplitScores, objective: DecisionObjective, head: Sequence[int]) -> None:
        """Let an objective choose the decision, deterministically, and fit the calibration.

        Args:
            scores: Scores of samples that the model was not trained on, of all processes.
            objective: The objective.
            head: Head classes.
        """
        self.class_offset.zero_()
        self.head_kept_offset.fill_(torch.nan)
        self.costs = None
        samples = self.samples(scores, head)
        if len(samples.labels):
            chosen = objective.choose(samples)
            # Evidence counts from 0, so that a common offset would change it.
            self.class_offset.copy_(chosen.offset - chosen.offset[samples.counts > 0].mean())
            self.costs = chosen.costs
            self.head_kept_offset.copy_(HeadKept().choose(samples).offset)
        self._fit_calibration(scores.logits, scores.labels)

    def _fit_calibration(self, logits: Tensor, labels: Tensor) -> None:
        if self.loss.has_uncertainty:
            # Probabilities of evidence are no softmax, so a prior is no part of their logarithms.
            self.calibration.fit(self.probabilities(logits), labels)
            return
        contained = self.class_offset + self.prior_strength() * log_priors(self.counts)
        self.calibration.fit_with_prior(self.probabilities(logits), labels, contained)

    @torch.no_grad()
    def samples(self, scores: SplitScores, head: Sequence[int]) -> DecisionSamples:
        """The samples that an objective chooses on: those of classes with training samples, in order of their rows.

        They are on the CPU, where every operation of a choice is deterministic.

        Args:
            scores: Scores of samples.
            head: Head classes.
        """
        known = scores.in_order()
        seen = self.counts[known.labels] > 0
        of_each = (self.corrected(known.logits), known.labels, known.at_prior)
        corrected, labels, at_prior = (values[seen].cpu() for values in of_each)
        return DecisionSamples(corrected, labels, self.counts.cpu(), tuple(head), self.prior_strength(), at_prior)

    def sets(self, scores: SplitScores, head: Sequence[int], coverage: float) -> ThresholdSets:
        """Choose prediction sets, which take the logits of the head; they do not depend on the objective.

        Args:
            scores: Scores of samples that the model was not trained on, of all processes.
            head: Head classes.
            coverage: Share of samples whose set must contain their label, above 0 and below 1.

        Raises:
            InputError: If `coverage` is not in this range.
        """
        sets = PredictionSets.fit(self.samples(scores, head), coverage)
        return sets.of_logits(self.logit_scale, self.logit_offset.masked_fill(self.counts == 0, NEVER))

    def prior_strength(self) -> float:
        """Strength of the prior that corrected scores contain."""
        strength = self.uncorrected_strength() + prior_slope(self.logit_offset, self.counts)
        return round(strength, 6) if self._is_unscaled() else 0.0

    def uncorrected_strength(self) -> float:
        """Strength of the prior that logits contain, before a correction adds to them."""
        # What normalized weights leave of the prior is not known, but they are meant to remove it.
        return 1.0 - float(self.removed_prior) if self._is_unscaled() else 0.0

    def _is_unscaled(self) -> bool:
        return bool((self.logit_scale == 1).all())

    def get_extra_state(self) -> dict[str, Tensor]:
        """The cost matrix, if there is one, which has no fixed shape."""
        return {} if self.costs is None else {"costs": self.costs}

    def set_extra_state(self, state: dict[str, Tensor]) -> None:
        """Restore the cost matrix of a checkpoint.

        Raises:
            ValueError: If it has another shape or type, or numbers that are not finite.
        """
        costs, shape = state.get("costs"), (len(self.counts),) * 2
        valid = isinstance(costs, Tensor) and costs.shape == shape and costs.dtype == torch.float32
        if costs is not None and not (valid and bool(costs.isfinite().all())):
            raise ValueError(f"costs: expected finite float32 {shape}, got other values.")
        self.costs = costs
