"""Metrics of a validation or test split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from torch import Tensor, nn
from torch.nn import functional

from modules.evaluation.calibration import LogLosses, TemperatureScaling
from modules.evaluation.class_groups import ClassGroups
from modules.evaluation.tail_metrics import TailMetrics


def named_by_class(of_class: Mapping[str, Tensor], classes: Sequence[str]) -> dict[str, Tensor]:
    """What is known of each class as scalars, such as `recall/pril`.

    Args:
        of_class: (C,) each, by name.
        classes: C names.
    """
    return {
        f"{name}/{one}": value for name, values in of_class.items() for one, value in zip(classes, values, strict=True)
    }


class SplitMetrics(nn.Module):
    """Metrics of long-tailed classification, and log losses before and after calibration.

    Samples of classes without training samples are left out of all metrics, since no model could predict them.
    """

    seen: Tensor

    def __init__(self, class_counts: Tensor, groups: ClassGroups) -> None:
        """Create the metrics without samples.

        Args:
            class_counts: Training samples of each class, int64 (C,).
            groups: Which classes are head and tail classes.
        """
        super().__init__()
        fractions = groups.head_fraction, groups.tail_fraction
        self.tail_metrics = TailMetrics(class_counts, *fractions)
        self.label_metrics = TailMetrics(class_counts, *fractions, ranking=False)
        self.log_losses = LogLosses()
        self.register_buffer("seen", class_counts > 0, persistent=False)

    def update(
        self, probabilities: Tensor, labels: Tensor, calibration: TemperatureScaling, predicted: Tensor | None = None
    ) -> None:
        """Add a batch.

        Args:
            probabilities: Probabilities before calibration, fp32 (B, C).
            labels: Labels, int64 (B,).
            calibration: Temperature scaling of the probabilities.
            predicted: Predicted labels, int64 (B,); those of the largest probabilities if None.
        """
        known = self.seen[labels]
        own = None if predicted is None else predicted[known]
        self.tail_metrics.update(probabilities[known], labels[known], own)
        self.log_losses.update(probabilities, labels, calibration)

    def of_split(
        self,
        probabilities: Tensor,
        labels: Tensor,
        calibration: TemperatureScaling,
        predicted: Tensor | None = None,
        compared: Mapping[str, Tensor] = MappingProxyType({}),
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Compute the metrics of a split; must be called on all processes.

        Args:
            probabilities: Probabilities before calibration of the samples of this process, fp32 (N, C).
            labels: Labels, int64 (N,).
            calibration: Temperature scaling of the probabilities.
            predicted: Predicted labels, int64 (N,); those of the largest probabilities if None.
            compared: Labels that other decisions predict, int64 (N,), by the name of the decision, which the names of
                their balanced accuracy and head accuracy end with.

        Returns:
            See `compute_and_reset`.
        """
        self.update(probabilities, labels, calibration, predicted)
        values, of_class = self.compute_and_reset()
        return values | self.of_compared(compared, labels), of_class

    def of_compared(self, compared: Mapping[str, Tensor], labels: Tensor) -> dict[str, Tensor]:
        """Compute the balanced accuracy and head accuracy of other decisions; must be called on all processes.

        Args:
            compared: Labels that they predict for the samples of this process, int64 (N,), by name.
            labels: Labels, int64 (N,).

        Returns:
            Scalars whose names end with that of the decision.
        """
        values: dict[str, Tensor] = {}
        for name, own in compared.items():
            found = self.of_labels(own, labels)
            values |= {f"{metric}_{name}": found[metric] for metric in ("balanced_accuracy", "head_accuracy")}
        return values

    def of_labels(self, predicted: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Compute the metrics of labels without probabilities; must be called on all processes.

        Args:
            predicted: Predicted labels for the samples of this process, int64 (N,).
            labels: Labels, int64 (N,).

        Returns:
            The metrics of `TailMetrics` without ranking, by name.
        """
        known = self.seen[labels]
        self.label_metrics.update(functional.one_hot(predicted[known], len(self.seen)).float(), labels[known])
        values = self.label_metrics.compute()
        self.label_metrics.reset()
        return values

    def compute_and_reset(self) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Compute the metrics over all batches and processes, and reset them.

        Returns:
            Scalars by name; and by name what is known of each class, its `recall`, (C,), NaN for a class without
            samples here or in training.
        """
        values = {**self.tail_metrics.compute(), **self.log_losses.compute()}
        recall = values.pop("recall")
        self.tail_metrics.reset()
        self.log_losses.reset()
        return values, {"recall": recall}
