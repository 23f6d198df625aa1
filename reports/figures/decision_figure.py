"""The figure of head against tail for all decisions of a model."""

from __future__ import annotations

import math
from typing import Any

from reports.analysis.decision_curve import DecisionCurve, DecisionPoint
from reports.figures.colors import PALETTE
from reports.figures.plotly_figure import Figure, figure

NAMES = {
    "current": "this model",
    "at_prior": "plain cross-entropy",
    "balanced_accuracy": "best balanced accuracy",
    "accuracy": "best accuracy",
    "macro_f1": "best macro F1",
    "head_kept": "head kept",
}
"""Names of the points, by that of the decision."""
# Open symbols of different forms show that they lie upon each other.
_SYMBOLS = ("star", "x-open", "circle-open", "square-open", "diamond-open", "triangle-up-open")
_LINES = {"tail": ("tail accuracy", "solid"), "balanced": ("balanced accuracy", "dot")}


def decision_figure(curve: DecisionCurve) -> Figure:
    """Lines and points: tail accuracy and balanced accuracy against head accuracy, for all decisions of a model."""
    shown = [value for value in _LINES if any(not math.isnan(getattr(point, value)) for point in curve.strengths)]
    traces = [_line(curve, value) for value in shown]
    for place, point in enumerate(curve.points):
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": NAMES[point.name],
                "x": [round(point.head, 4)] * len(shown),
                "y": [_rounded(getattr(point, value)) for value in shown],
                "text": [f"{NAMES[point.name]}: {_LINES[value][0]}" for value in shown],
                "hovertemplate": "%{text} %{y:.3f}, head accuracy %{x:.3f}<extra></extra>",
                "marker": {
                    "color": PALETTE[(place + 2) % len(PALETTE)],
                    "symbol": _SYMBOLS[place % len(_SYMBOLS)],
                    "size": 9 + 2 * (place % len(_SYMBOLS)),
                    "line": {"width": 2},
                },
            }
        )
    x: dict[str, Any] = {"title": {"text": "Head accuracy"}}
    return figure(traces, x, {"title": {"text": "Tail and balanced accuracy"}}, hovermode="closest")


def _line(curve: DecisionCurve, value: str) -> dict[str, Any]:
    name, dash = _LINES[value]
    return {
        "type": "scatter",
        "mode": "lines",
        "name": name,
        "x": [round(point.head, 4) for point in curve.strengths],
        "y": [_rounded(getattr(point, value)) for point in curve.strengths],
        "text": [_strength_text(point) for point in curve.strengths],
        "hovertemplate": "%{text}<br>" + name + " %{y:.3f}, head accuracy %{x:.3f}<extra></extra>",
        "line": {"color": "#7F7F7F", "width": 2, "dash": dash},
    }


def _strength_text(point: DecisionPoint) -> str:
    return f"strength {point.name} of the training prior"


def _rounded(value: float) -> float | None:
    return None if math.isnan(value) else round(value, 4)
