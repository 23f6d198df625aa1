"""Figures about several labels."""

from __future__ import annotations

from typing import Any

import numpy
from numpy.typing import NDArray

from modules.evaluation.group_names import GROUPS
from reports.analysis.class_scores import ReliabilityBin, reliability
from reports.analysis.label_curves import precision_recall
from reports.figures.plotly_figure import (
    GROUP_COLORS,
    GROUP_SYMBOLS,
    Figure,
    figure,
    log_axis,
    matrix_rows,
    plain_text,
    rounded,
)
from reports.label_data import LabelData

_SHARES = {"range": [-0.03, 1.03], "tickvals": [0, 0.25, 0.5, 0.75, 1]}
_BASELINE_COLOR = "#9aa5b1"

RELIABILITY_NAMES = {"all": "all labels"} | {group: f"{group} labels" for group in GROUPS}


def label_figure(data: LabelData) -> Figure:
    """Points: average precision of each label against its training samples, with pale points of the baseline."""
    ours, theirs = data.comparison.model, data.comparison.baseline
    places = [place for place in data.order.tolist() if ours.average_precision[place].value >= 0]
    sizes = [max(int(data.training[place]), 1) for place in places]
    traces: list[dict[str, Any]] = [
        {
            "type": "scatter",
            "mode": "markers",
            "name": "baseline",
            "x": sizes,
            "y": rounded(theirs.average_precision[place].value for place in places),
            "text": [plain_text(data.names[place]) for place in places],
            "hovertemplate": "%{text}<br>baseline %{y:.2f}<extra></extra>",
            "marker": {"color": _BASELINE_COLOR, "symbol": "circle-open", "size": 8, "opacity": 0.8},
        }
    ]
    for group in GROUPS:
        own = [place for place in places if data.groups[place] == group]
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": group,
                "x": [max(int(data.training[place]), 1) for place in own],
                "y": rounded(ours.average_precision[place].value for place in own),
                "text": [_point_text(data, place) for place in own],
                "hovertemplate": "%{text}, %{x:,} for training<extra>" + group + "</extra>",
                "marker": {"color": GROUP_COLORS[group], "symbol": GROUP_SYMBOLS[group], "size": 9, "opacity": 0.85},
            }
        )
    y = {"title": {"text": "Average precision"}, **_SHARES}
    return figure(traces, log_axis("Training samples with the label (logarithmic)", sizes), y)


def _point_text(data: LabelData, place: int) -> str:
    model = data.comparison.model
    one = model.average_precision[place]
    bounds = "" if one.low != one.low else f" [{one.low:.2f} to {one.high:.2f}]"
    name = plain_text(data.names[place])
    return f"{name}<br>average precision {one.value:.2f}{bounds}<br>{model.positive[place]:,} test samples with it"


def curve_figure() -> Figure:
    """Lines: precision against recall of one label, which the script of the page fills in."""
    lines = [
        ("model", {"color": GROUP_COLORS["head"], "width": 2.5}, "lines"),
        ("baseline", {"color": _BASELINE_COLOR, "width": 2}, "lines"),
        ("guessing", {"color": _BASELINE_COLOR, "width": 1, "dash": "dot"}, "lines"),
        ("at the threshold", {}, "markers"),
    ]
    traces = [
        {
            "type": "scatter",
            "mode": mode,
            "name": name,
            "x": [],
            "y": [],
            "line": line,
            "marker": {"symbol": "star", "size": 13, "color": "#D55E00"},
            "hovertemplate": "recall %{x:.2f}, precision %{y:.2f}<extra>" + name + "</extra>",
        }
        for name, line, mode in lines
    ]
    x, y = ({**_SHARES, "title": {"text": text}} for text in ("Recall", "Precision"))
    return figure(traces, x, y)


def curves(data: LabelData) -> list[dict[str, Any]]:
    """Points of the curves of each label, of the model and the baseline, for the page."""
    return [
        {
            name: [rounded(values.tolist(), 3) for values in _curve(scores[:, place], data.test.labels[:, place])]
            for name, scores in (("model", data.test.probabilities), ("baseline", data.fitted.predicted))
        }
        for place in range(len(data.names))
    ]


def _curve(scores: NDArray[Any], labels: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    known = labels >= 0
    return precision_recall(scores[known], labels[known] == 1)


def reliability_bins(data: LabelData) -> dict[str, list[ReliabilityBin]]:
    """Calibrated probabilities of known values against how often samples have the label, in all and by group."""
    kinds, seen = numpy.array(data.groups), data.training > 0
    masks = {"all": seen} | {group: seen & (kinds == group) for group in GROUPS}
    found = {}
    for name, own in masks.items():
        labels, probabilities = data.test.labels[:, own], data.test.probabilities[:, own]
        known = labels >= 0
        found[name] = reliability(probabilities[known], labels[known] == 1, numpy.ones(int(known.sum())))
    return found


def pair_figure(shares: NDArray[Any], most: float, title: str) -> Figure:
    """Heat map: share of the samples with one label that have another one; the page adds the names.

    Args:
        shares: From `pair_shares`, (S, S).
        most: Upper end of the colors.
        title: What stands beside the colors.
    """
    places = list(range(len(shares)))
    heat = {
        "type": "heatmap",
        "x": places,
        "y": places,
        "z": matrix_rows(shares),
        "zmin": 0,
        "zmax": round(most, 3),
        "colorscale": [[0, "#f3f6f9"], [0.35, "#8fc1e3"], [0.7, "#2f7fb8"], [1, "#0b3a63"]],
        "colorbar": {"title": {"text": title, "side": "right"}, "thickness": 12, "len": 0.9},
        "hoverongaps": False,
        "xgap": 1,
        "ygap": 1,
    }
    axis = {"tickvals": places, "ticktext": [""] * len(places), "showgrid": False, "zeroline": False}
    side = {**axis, "autorange": "reversed", "scaleanchor": "x", "constrain": "domain"}
    return figure([heat], {**axis, "tickangle": -90, "constrain": "domain"}, side)
