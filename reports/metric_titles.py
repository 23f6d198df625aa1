"""Titles of the metrics that summaries show, in order."""

from __future__ import annotations

from collections.abc import Container, Mapping

ACCURACIES = {
    "balanced_accuracy": "Balanced accuracy",
    "accuracy": "Accuracy",
    "head_accuracy": "Head accuracy",
    "middle_accuracy": "Middle accuracy",
    "tail_accuracy": "Tail accuracy",
}
"""Accuracies by the metric's name; those of head, middle and tail are the mean recall of their classes."""

METRICS = {
    **ACCURACIES,
    "balanced_f1": "Balanced F1",
    "macro_f1": "Macro F1",
    "auroc": "AUROC (macro)",
    "average_precision": "Average precision (macro)",
    "calibration_error": "Calibration error before calibration",
}
"""All metrics of a summary by name."""

MULTILABEL_METRICS = {
    "average_precision": "Average precision (macro)",
    "auroc": "AUROC (macro)",
    "macro_f1": "Macro F1",
    "micro_f1": "Micro F1",
    "balanced_accuracy": "Balanced accuracy",
    "head_average_precision": "Head average precision",
    "middle_average_precision": "Middle average precision",
    "tail_average_precision": "Tail average precision",
}
"""Metrics of a summary by name, where a sample may have several labels; all but the micro F1 are means over labels."""


def titles_of(metrics: Container[str]) -> Mapping[str, str]:
    """The titles of some metrics.

    Args:
        metrics: Names as in `test_metrics.json`, such as `test/auroc`; those with several labels have a micro F1.

    Returns:
        `MULTILABEL_METRICS` or `METRICS`.
    """
    return MULTILABEL_METRICS if "test/micro_f1" in metrics else METRICS
