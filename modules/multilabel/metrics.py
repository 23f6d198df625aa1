"""Metrics of a split whose samples may have several labels."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from torch import Tensor

from modules.evaluation.calibration import TemperatureScaling
from modules.evaluation.split_metrics import SplitMetrics
from modules.multilabel.calibration import log_loss
from modules.multilabel.label_scores import label_scores, micro_f1, predicted_scores
from modules.processes import gather_rows


class LabelMetrics(SplitMetrics):
    """Means over labels, and log losses before and after calibration.

    Labels that no training sample has are left out of all means, since no model could predict them, as are labels whose
    score does not exist in a split, see `label_scores`.
    """

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
            probabilities: Probabilities before calibration of the samples of this process, fp32 (N, L).
            labels: Labels, see `label_scores`, integers (N, L).
            calibration: Temperature scaling of the probabilities.
            predicted: Which labels are predicted, 1 or 0, integers (N, L); those above one half if None.
            compared: Must be empty.

        Returns:
            See `of_entries`.
        """
        chosen = (probabilities > 0.5).long() if predicted is None else predicted
        given = probabilities, calibration(probabilities), chosen, labels
        return self.of_entries(*(gather_rows(values) for values in given))

    def of_entries(
        self, probabilities: Tensor, calibrated: Tensor, predicted: Tensor, labels: Tensor
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Compute the metrics of samples of all processes.

        Args:
            probabilities: Probabilities before calibration, fp32 (N, L).
            calibrated: Probabilities after calibration, fp32 (N, L).
            predicted: Which labels are predicted, 1 or 0, integers (N, L).
            labels: Labels, see `label_scores`, integers (N, L).

        Returns:
            Scalars by name: `average_precision`, `auroc`, `macro_f1` and `balanced_accuracy` (mean of recall and
            specificity), each the mean over labels; `average_precision` of `head`, `middle` and `tail` labels;
            `micro_f1`; `nll` and `calibrated_nll`. And the scores of each label, fp32 (L,), by name, see
            `label_scores`.
        """
        labels = labels.masked_fill(~self.seen, -1)
        of_label = label_scores(probabilities, predicted, labels)
        means = {"average_precision": "average_precision", "auroc": "auroc", "macro_f1": "f1"}
        values = {name: of_label[score].nanmean() for name, score in means.items()}
        values["micro_f1"] = micro_f1(predicted, labels)
        values["balanced_accuracy"] = ((of_label["recall"] + of_label["specificity"]) / 2).nanmean()
        for group, codes in self.tail_metrics.groups.items():
            values[f"{group}_average_precision"] = of_label["average_precision"][codes].nanmean()
        values["nll"] = log_loss(probabilities, labels)
        values["calibrated_nll"] = log_loss(calibrated, labels)
        return values, of_label

    def of_labels(self, predicted: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Compute the metrics that do not depend on probabilities; must be called on all processes.

        Args:
            predicted: Which labels are predicted for the samples of this process, 1 or 0, integers (N, L).
            labels: Labels, see `label_scores`, integers (N, L).

        Returns:
            Scalars by name: `macro_f1`, `micro_f1` and `balanced_accuracy` as of `of_entries`, the means over labels of
            `recall` and `precision`, and `accuracy`, the share of the known entries that are right.
        """
        predicted, labels = gather_rows(predicted), gather_rows(labels).masked_fill(~self.seen, -1)
        of_label = predicted_scores(predicted, labels)
        return {
            "macro_f1": of_label["f1"].nanmean(),
            "micro_f1": micro_f1(predicted, labels),
            "balanced_accuracy": ((of_label["recall"] + of_label["specificity"]) / 2).nanmean(),
            "accuracy": (predicted == labels)[labels >= 0].float().mean(),
            "recall": of_label["recall"].nanmean(),
            "precision": of_label["precision"].nanmean(),
        }
