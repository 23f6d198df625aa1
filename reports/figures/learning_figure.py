"""The figures of loss and validation metrics by epoch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from modules.evaluation.group_names import GROUPS
from reports.analysis.learning_curves import ACCURACIES, LOSS, PRECISIONS, LearningCurve
from reports.figures.plotly_figure import GROUP_COLORS, GROUP_DASHES, Figure, figure, rounded

_NAMES = dict(zip(ACCURACIES, ("balanced", "head", "middle", "tail"), strict=True))
_NAMES |= dict(zip(PRECISIONS, ("all labels", "head", "middle", "tail"), strict=True))
_SHARES = {"range": [-0.03, 1.03], "tickvals": [0, 0.25, 0.5, 0.75, 1]}


def loss_figure(curves: Sequence[LearningCurve]) -> Figure:
    """Lines: training loss by epoch, one for each training; a star marks the kept epoch.

    Args:
        curves: The curves of the run, or of each member of an ensemble.
    """
    return _figure(curves, [LOSS], "Training loss", {})


def accuracy_figure(curves: Sequence[LearningCurve]) -> Figure:
    """Lines: validation accuracies by epoch; of an ensemble the balanced accuracy of each member.

    Args:
        curves: The curves of the run, or of each member of an ensemble.
    """
    shown = ACCURACIES if len(curves) == 1 else ACCURACIES[:1]
    title = "Validation accuracy" if len(curves) == 1 else "Balanced validation accuracy"
    return _figure(curves, shown, title, _SHARES)


def precision_figure(curves: Sequence[LearningCurve]) -> Figure:
    """Lines: mean average precision of labels on validation samples; of an ensemble that of all labels by member.

    Args:
        curves: The curves of the run, or of each member of an ensemble.
    """
    shown = PRECISIONS if len(curves) == 1 else PRECISIONS[:1]
    return _figure(curves, shown, "Validation average precision", _SHARES)


def _figure(curves: Sequence[LearningCurve], names: Sequence[str], title: str, axis: dict[str, Any]) -> Figure:
    traces = [
        _line(curve, name, number if len(curves) > 1 else None)
        for number, curve in enumerate(curves)
        for name in names
        if name in curve.values
    ]
    stars = [curve for curve in curves if curve.at_kept(names[0]) is not None]
    traces.append(
        {
            "type": "scatter",
            "mode": "markers",
            "name": "kept epoch",
            "x": [curve.kept for curve in stars],
            "y": rounded(curve.at_kept(names[0]) for curve in stars),
            "hovertemplate": "kept: epoch %{x}, %{y:.3f}<extra></extra>",
            "marker": {"symbol": "star", "size": 13, "color": "#D55E00"},
        }
    )
    y = {"title": {"text": title}, **axis}
    return figure(traces, {"title": {"text": "Epoch"}, "rangemode": "tozero"}, y, hovermode="closest")


def _line(curve: LearningCurve, name: str, member: int | None) -> dict[str, Any]:
    epochs, values = curve.values[name]
    kind = _NAMES.get(name, "training loss")
    group = kind if kind in GROUPS else "all"
    label = kind if member is None else f"fold {member}"
    return {
        "type": "scatter",
        "mode": "lines",
        "name": kind if member is None else "members",
        "showlegend": member in (None, 0),
        "x": epochs.tolist(),
        "y": rounded(values.tolist()),
        "hovertemplate": "epoch %{x}: %{y:.3f}<extra>" + label + "</extra>",
        "line": {
            "color": GROUP_COLORS[group],
            "width": 1 if member is not None else 3 if group == "all" else 1.5,
            "dash": GROUP_DASHES[group],
        },
    }
