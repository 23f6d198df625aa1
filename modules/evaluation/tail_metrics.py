"""Metrics of long-tailed classification: balanced, by group of classes, of ranking and of calibration."""

from fractions import Fraction
from math import ceil

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.functional.classification import (
    binary_auroc,
    binary_average_precision,
    binary_calibration_error,
)
from torchmetrics.utilities.data import dim_zero_cat

from modules.evaluation.group_names import Group

_CALIBRATION_BINS = 15
# Tolerates rounding of averages in bf16, but not logits.
_PROBABILITY_SLACK = 1e-2


def head_middle_tail(
    class_counts: Tensor, head_fraction: float = 0.3, tail_fraction: float = 0.3
) -> dict[Group, list[int]]:
    """Group the classes into head, middle and tail by their number of training samples.

    Classes are ranked by count, largest first, ties by label. The head is the first
    ``ceil(head_fraction * C)``, the tail the last ``round(tail_fraction / (1 - head_fraction) * rest)``,
    the middle the remaining classes. With two classes the larger is the head and the smaller the tail.
    The rule is that of ImDrug (Li et al., 2022, arXiv 2209.07921).

    Args:
        class_counts: ``(C,)``, training samples of each class, C >= 2; a class with 0 is ranked last.
        head_fraction: Share of the classes in the head, in (0, 1).
        tail_fraction: Share of the classes in the tail, in [0, 1 - head_fraction].

    Returns:
        The labels of each group, most frequent first. A group may be empty.

    Raises:
        ValueError: If the counts have another shape or a negative value, or a fraction is out of range.
    """
    if class_counts.ndim != 1 or len(class_counts) < 2:
        raise ValueError(f"class_counts: expected shape (C,) with C >= 2, got {tuple(class_counts.shape)}.")
    if not bool((class_counts >= 0).all()):
        raise ValueError(f"class_counts: expected numbers of 0 or more, got {class_counts.tolist()}.")
    check_fractions(head_fraction, tail_fraction)
    # Exact fractions, because the float product 0.28 * 25 is above 7 and its ceiling would be 8.
    head_share = Fraction(str(head_fraction))
    tail_share_of_rest = Fraction(str(tail_fraction)) / (1 - head_share)

    counts = class_counts.tolist()
    ranked = sorted(range(len(counts)), key=lambda label: -counts[label])
    if len(ranked) == 2:
        return {"head": ranked[:1], "middle": [], "tail": ranked[1:]}
    head_size = ceil(head_share * len(ranked))
    tail_size = round(tail_share_of_rest * (len(ranked) - head_size))
    tail_start = len(ranked) - tail_size
    return {"head": ranked[:head_size], "middle": ranked[head_size:tail_start], "tail": ranked[tail_start:]}


def check_fractions(head_fraction: float, tail_fraction: float) -> None:
    """Check the fractions of `head_middle_tail`.

    Args:
        head_fraction: Share of the classes in the head.
        tail_fraction: Share of the classes in the tail.

    Raises:
        ValueError: If a fraction is out of range.
    """
    if not 0 < head_fraction < 1:
        raise ValueError(f"head_fraction: expected a number between 0 and 1, got {head_fraction}.")
    if not 0 <= tail_fraction <= 1 or Fraction(str(tail_fraction)) > 1 - Fraction(str(head_fraction)):
        raise ValueError(f"tail_fraction: expected a number from 0 to 1 - head_fraction, got {tail_fraction}.")


class TailMetrics(Metric):
    """Metrics of long-tailed classification, computed in a single pass over class probabilities.

    A class has support if the split contains samples of it. ``compute`` returns scalars, except for ``recall``:

    - ``accuracy``, and ``recall`` of each class ``(C,)``, NaN without support.
    - ``balanced_accuracy``, ``macro_f1``: means of recall and of F1 over the classes with support.
    - ``balanced_f1`` (ImDrug, Li et al., 2022): the mean over classes with support of the F1 on a confusion
      matrix whose rows are divided by their support, so that all classes have equal weight in the precision.
    - ``head_accuracy``, ``middle_accuracy``, ``tail_accuracy``: mean recall of the group's classes with
      support; NaN if none has support.
    - ``auroc``, ``average_precision``: means of the one-vs-rest scores of the classes with support; NaN if the
      split contains a single class.
    - ``calibration_error``: expected calibration error of the largest probability, with 15 bins of equal
      width (Guo et al., 2017), in 0..1.

    The last three require all probabilities of the split, stored as float32 ``(N, C)`` on the metric's device.
    """

    is_differentiable = False
    full_state_update = False

    confusion: Tensor
    probabilities: list[Tensor]
    labels: list[Tensor]

    def __init__(
        self,
        class_counts: Tensor,
        head_fraction: float = 0.3,
        tail_fraction: float = 0.3,
        ranking: bool = True,
    ) -> None:
        """Create the metric for C classes.

        Args:
            class_counts: ``(C,)``, training samples of each class, before any resampling.
            head_fraction: Share of the classes in the head, see ``head_middle_tail``.
            tail_fraction: Share of the classes in the tail.
            ranking: Whether to compute AUROC, average precision and calibration error, which requires storing all
                probabilities.

        Raises:
            ValueError: If the counts or the fractions are invalid, see ``head_middle_tail``.
        """
        super().__init__()
        self.groups = head_middle_tail(class_counts, head_fraction, tail_fraction)
        self.num_classes = len(class_counts)
        self.ranking = ranking
        zeros = torch.zeros(self.num_classes, self.num_classes, dtype=torch.int64)
        self.add_state("confusion", zeros, dist_reduce_fx="sum")
        if ranking:
            self.add_state("probabilities", [], dist_reduce_fx="cat")
            self.add_state("labels", [], dist_reduce_fx="cat")
        self._start_lists()

    def update(self, probabilities: Tensor, labels: Tensor, predicted: Tensor | None = None) -> None:
        """Add a batch, which may be empty.

        Args:
            probabilities: Class probabilities, floating point ``(B, C)``, in [0, 1].
            labels: Labels, integers ``(B,)`` in 0..C-1.
            predicted: Predicted labels, integers ``(B,)``; those of the largest probabilities if None.

        Raises:
            ValueError: If a shape, dtype or value is invalid.
        """
        self._check(probabilities, labels)
        # float32 also under autocast, since rounding to 16 bits would introduce ties in the ranking.
        probabilities = probabilities.detach().float().clamp(0, 1)
        labels = labels.long()
        cells = labels * self.num_classes + (probabilities.argmax(dim=1) if predicted is None else predicted)
        counts = torch.bincount(cells, minlength=self.num_classes**2).view_as(self.confusion)
        # Not in place, since a state created in inference mode could not be updated outside of it.
        self.confusion = self.confusion + counts
        if self.ranking:
            self.probabilities.append(probabilities)
            self.labels.append(labels)

    def compute(self) -> dict[str, Tensor]:
        """Compute the metrics over all updates and processes.

        Returns:
            Scalars by name and ``recall``, ``(C,)``, on the metric's device. Without ``ranking`` the keys
            ``auroc``, ``average_precision`` and ``calibration_error`` are missing.

        Raises:
            ValueError: If no process has samples.
        """
        support = self.confusion.sum(dim=1)
        present = support > 0
        if not bool(present.any()):
            raise ValueError("TailMetrics: expected at least one sample before compute(), got none.")
        recall = self.confusion.diagonal() / support
        row_shares = self.confusion / support.clamp(min=1)[:, None]
        scores = {
            "accuracy": self.confusion.trace() / support.sum(),
            "balanced_accuracy": recall[present].mean(),
            "balanced_f1": _f1_per_class(row_shares)[present].mean(),
            "macro_f1": _f1_per_class(self.confusion)[present].mean(),
            "recall": recall,
        }
        for group, classes in self.groups.items():
            scores[f"{group}_accuracy"] = recall[classes].nanmean()
        if self.ranking:
            probabilities, labels = dim_zero_cat(self.probabilities), dim_zero_cat(self.labels)
            scores |= _ranking_scores(probabilities, labels, present.nonzero().flatten().tolist())
            scores["calibration_error"] = _calibration_error(probabilities, labels)
        return scores

    def reset(self) -> None:
        """Remove all samples; the groups of classes remain."""
        super().reset()
        self._start_lists()

    def _start_lists(self) -> None:
        """Add an empty first batch to the list states.

        torchmetrics gathers an empty list as a float vector, which does not match the shapes and dtypes of other
        processes if one of them has no samples.
        """
        if self.ranking:
            device = self.confusion.device
            self.probabilities.append(torch.zeros(0, self.num_classes, device=device))
            self.labels.append(torch.zeros(0, dtype=torch.int64, device=device))

    def _check(self, probabilities: Tensor, labels: Tensor) -> None:
        if probabilities.ndim != 2 or probabilities.shape[1] != self.num_classes:
            shape = tuple(probabilities.shape)
            raise ValueError(f"probabilities: expected shape (B, {self.num_classes}), got {shape}.")
        if labels.shape != probabilities.shape[:1]:
            raise ValueError(f"labels: expected shape ({len(probabilities)},), got {tuple(labels.shape)}.")
        if not probabilities.is_floating_point():
            raise ValueError(f"probabilities: expected a floating-point tensor, got {probabilities.dtype}.")
        if labels.is_floating_point() or labels.dtype == torch.bool:
            raise ValueError(f"labels: expected an integer tensor, got {labels.dtype}.")
        low, high = -_PROBABILITY_SLACK, 1 + _PROBABILITY_SLACK
        if not bool(((probabilities >= low) & (probabilities <= high)).all()):
            found = f"{float(probabilities.min()):.4g} to {float(probabilities.max()):.4g}"
            raise ValueError(f"probabilities: expected values in [0, 1], got {found}.")
        if not bool(((labels >= 0) & (labels < self.num_classes)).all()):
            found = f"{int(labels.min())} to {int(labels.max())}"
            raise ValueError(f"labels: expected values in 0..{self.num_classes - 1}, got {found}.")


def _f1_per_class(confusion: Tensor) -> Tensor:
    """F1 of each class, ``(C,)``, from a confusion matrix ``(C, C)`` of true class by predicted class."""
    return 2 * confusion.diagonal() / (confusion.sum(dim=0) + confusion.sum(dim=1))


def _ranking_scores(probabilities: Tensor, labels: Tensor, present: list[int]) -> dict[str, Tensor]:
    """Mean one-vs-rest AUROC and average precision over the classes present; NaN for a single class.

    The multiclass functions of torchmetrics store the curves of all classes and count a class without samples as 0
    in the macro mean, so classes are evaluated one at a time.
    """
    if len(present) == 1:
        undefined = torch.full((), torch.nan, device=probabilities.device)
        return {"auroc": undefined, "average_precision": undefined}
    auroc, average_precision = [], []
    for label in present:
        is_label = (labels == label).long()
        # A contiguous column is much faster to sort than a strided one.
        column = probabilities[:, label].contiguous()
        auroc.append(binary_auroc(column, is_label, validate_args=False))
        average_precision.append(binary_average_precision(column, is_label, validate_args=False))
    return {"auroc": torch.stack(auroc).mean(), "average_precision": torch.stack(average_precision).mean()}


def _calibration_error(probabilities: Tensor, labels: Tensor) -> Tensor:
    """Expected calibration error of the largest probability.

    Computed in float64, and on the CPU because not every device supports it: the float32 sums of the multiclass
    function of torchmetrics are off by a factor of two for four million samples.
    """
    confidence, predicted = probabilities.max(dim=1)
    correct = (predicted == labels).long()
    error = binary_calibration_error(
        confidence.cpu().double(), correct.cpu(), n_bins=_CALIBRATION_BINS, norm="l1", validate_args=False
    )
    return error.to(device=probabilities.device, dtype=probabilities.dtype)
