"""Titles of the metrics that summaries show, in order."""

from __future__ import annotations

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
    "calibration_error": "Calibration error",
}
"""All metrics of a summary by name."""
