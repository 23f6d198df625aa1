"""The decision of the peers: the samples that the objectives of our models choose it on, and what it is worth."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import one_hot

from modules.decision import NEVER
from modules.decisions.samples import DecisionSamples
from modules.evaluation.tail_metrics import TailMetrics, head_middle_tail

_SMALLEST_PROBABILITY = 1e-12


def log_probabilities(probabilities: Tensor, class_counts: Tensor) -> Tensor:
    """Scores before the decision, fp32 (N, C), strongly negative for classes without training samples.

    Args:
        probabilities: Class probabilities, (N, C); 0 counts as 1e-12.
        class_counts: Training samples of each class, int64 (C,).
    """
    scores = probabilities.double().clamp(min=_SMALLEST_PROBABILITY).log().float()
    return scores.masked_fill(class_counts == 0, NEVER)


def decision_samples(
    probabilities: Tensor, labels: Tensor, class_counts: Tensor, prior_removed: float, at_prior: Tensor
) -> DecisionSamples:
    """The samples that an objective chooses the decision on.

    Args:
        probabilities: Class probabilities of the validation samples, (N, C).
        labels: Labels, int64 (N,); samples of classes without training samples are left out.
        class_counts: Training samples of each class, int64 (C,).
        prior_removed: Strength with which training has removed the prior from the probabilities: 1 for a classifier
            with balanced class weights, else 0.
        at_prior: Labels that the classifier without class weights predicts, int64 (N,).
    """
    known = class_counts[labels] > 0
    scores = log_probabilities(probabilities[known], class_counts)
    head = tuple(head_middle_tail(class_counts)["head"])
    return DecisionSamples(scores, labels[known], class_counts, head, 1 - prior_removed, at_prior[known])


def accuracies(scores: Tensor, labels: Tensor, class_counts: Tensor) -> dict[str, float]:
    """The metrics of `TailMetrics` that the largest scores alone decide.

    Args:
        scores: (N, C).
        labels: int64 (N,); samples of classes without training samples are left out.
        class_counts: Training samples of each class, int64 (C,).
    """
    known = class_counts[labels] > 0
    metrics = TailMetrics(class_counts, ranking=False)
    metrics.update(one_hot(scores[known].argmax(dim=1), len(class_counts)).float(), labels[known])
    return _scalars(metrics)


def ranking(probabilities: Tensor, labels: Tensor, class_counts: Tensor) -> dict[str, float]:
    """AUROC, average precision and calibration error of the probabilities, see `TailMetrics`.

    Args:
        probabilities: (N, C).
        labels: int64 (N,); samples of classes without training samples are left out.
        class_counts: Training samples of each class, int64 (C,).
    """
    known = class_counts[labels] > 0
    metrics = TailMetrics(class_counts)
    metrics.update(probabilities[known], labels[known])
    return {name: _scalars(metrics)[name] for name in ("auroc", "average_precision", "calibration_error")}


def _scalars(metrics: TailMetrics) -> dict[str, float]:
    return {name: float(value) for name, value in metrics.compute().items() if value.ndim == 0}
