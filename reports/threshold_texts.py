"""Says from where on labels are predicted, by the objective of the decision."""

from __future__ import annotations

_BEST = {
    "macro_f1": "a high macro F1",
    "balanced_accuracy": "a high balanced accuracy",
    "accuracy": "few wrong entries",
    "recall": "a high macro F1, or of named labels for a recall that was asked for",
}


def threshold_text(objective: str) -> str:
    """The sentence "A label is predicted ..." of a model with several labels a sample.

    Args:
        objective: The objective that chose its decision.
    """
    if objective == "as_trained":
        return "A label is predicted where its probability before calibration is above one half."
    best = _BEST.get(objective, f"the objective {objective}")
    return f"A label is predicted above a threshold of its own, which was chosen for {best}."
