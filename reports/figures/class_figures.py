"""Figures of classes and predictions as Plotly's JSON; the page gives them the colours of its theme."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy

from reports.analysis.class_scores import GROUPS, ClassScores, ReliabilityBin, easy_tail_classes, hard_head_classes
from reports.analysis.distance_matrix import ClassDistances
from reports.run_files import ClassWeights

Figure = dict[str, Any]

GROUP_COLOURS = {"head": "#0072B2", "middle": "#E69F00", "tail": "#CC79A7", "all": "#7F7F7F"}
GROUP_SYMBOLS = {"head": "circle", "middle": "square", "tail": "diamond", "all": "x"}
LINE_DASHES = {"head": "solid", "middle": "dash", "tail": "dot", "all": "solid"}
NAMED = 4
LINES_SHOWN = 6
_TICKS = 12


def figure(data: list[dict[str, Any]], x: dict[str, Any], y: dict[str, Any], **layout: Any) -> Figure:
    """Traces with axes, margins and a legend above.

    Args:
        data: Traces.
        x: Settings of the horizontal axis.
        y: The same of the vertical axis.
        **layout: More of the layout.
    """
    legend = {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"}
    margin = {"l": 60, "r": 16, "t": 36, "b": 56}
    axes = {"xaxis": {"automargin": True, **x}, "yaxis": {"automargin": True, **y}}
    return {"data": data, "layout": {**axes, "legend": legend, "margin": margin, **layout}}


def log_axis(title: str, values: Sequence[int]) -> dict[str, Any]:
    """A logarithmic axis with ticks at 1, 2, 5, 10 ... that the values reach over."""
    present = [value for value in values if value > 0] or [1]
    ticks = [step * 10**power for power in range(8) for step in (1, 2, 5)]
    kept = [tick for tick in ticks if min(present) / 2.5 <= tick <= max(present) * 2.5]
    if max(present) / min(present) > 200:
        kept = [tick for tick in kept if str(tick)[0] == "1"]
    return {
        "title": {"text": title},
        "type": "log",
        "tickvals": kept,
        "ticktext": [f"{tick:,}" for tick in kept],
        "range": [float(numpy.log10(min(present) / 1.4)), float(numpy.log10(max(present) * 1.4))],
    }


def class_count_figure(scores: ClassScores) -> Figure:
    """Training samples of each class, the largest first, on a logarithmic scale."""
    order = numpy.argsort(-scores.training, kind="stable").tolist()
    rank = {code: place + 1 for place, code in enumerate(order)}
    traces = []
    for group in GROUPS:
        codes = [code for code in order if scores.groups[code] == group]
        traces.append(
            {
                "type": "bar",
                "name": group,
                "x": [rank[code] for code in codes],
                "y": [int(scores.training[code]) for code in codes],
                "text": [plain_text(scores.names[code]) for code in codes],
                "textposition": "none",
                "hovertemplate": "%{text}: %{y:,}<extra>" + group + "</extra>",
                "marker": {"color": GROUP_COLOURS[group], "line": {"width": 0}},
            }
        )
    y = log_axis("Training samples", scores.training.tolist())
    # A bar of one sample would have no height on an axis from 1.
    y["range"][0] = min(y["range"][0], -0.25) if scores.training.min() <= 1 else y["range"][0]
    return figure(traces, {"title": {"text": "Class, by size"}}, y, barmode="overlay", bargap=0.1)


def recall_figure(scores: ClassScores) -> Figure:
    """Recall against training samples; the first of the easy tail and of the hard head classes are named."""
    traces = []
    for group in GROUPS:
        codes = [code for code in scores.members(group).tolist() if not numpy.isnan(scores.recall[code])]
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": group,
                "x": [max(int(scores.training[code]), 1) for code in codes],
                "y": [round(float(scores.recall[code]), 4) for code in codes],
                "text": [f"{plain_text(scores.names[code])} ({scores.test[code]:,} test samples)" for code in codes],
                "hovertemplate": "%{text}<br>recall %{y:.2f}, %{x:,} training samples<extra>" + group + "</extra>",
                "marker": {"color": GROUP_COLOURS[group], "symbol": GROUP_SYMBOLS[group], "size": 9, "opacity": 0.85},
            }
        )
    notes = [*_class_notes(scores, easy_tail_classes(scores), up=True)[:NAMED]]
    notes += _class_notes(scores, hard_head_classes(scores), up=False)[:NAMED]
    y = {"title": {"text": "Recall"}, "range": [-0.06, 1.14], "tickvals": [0, 0.25, 0.5, 0.75, 1]}
    return figure(traces, log_axis("Training samples", scores.training.tolist()), y, annotations=notes)


def _class_notes(scores: ClassScores, codes: Sequence[int], up: bool) -> list[dict[str, Any]]:
    """Names beside points; points that lie close together share one name and a number of others."""
    logs = numpy.log10(numpy.maximum(scores.training, 1))
    low, width = float(logs.min()), max(float(logs.max() - logs.min()), 0.1)
    groups: list[list[int]] = []
    for code in codes:
        near = (
            one
            for one in groups
            if abs(logs[one[0]] - logs[code]) < 0.3 * width and abs(scores.recall[one[0]] - scores.recall[code]) < 0.16
        )
        group = next(near, None)
        groups.append([code]) if group is None else group.append(code)
    notes = []
    for members in groups[:NAMED]:
        x, more = float(logs[members[0]]), f" and {len(members) - 1} more" if len(members) > 1 else ""
        note = point_note(x, float(scores.recall[members[0]]), short_name(scores.names[members[0]]) + more)
        anchor = "left" if x < low + 0.3 * width else "right" if x > low + 0.8 * width else "center"
        notes.append({**note, "ay": -18 if up else 18, "xanchor": anchor})
    return notes


def point_note(x: float, y: float, text: str) -> dict[str, Any]:
    """A text above a point, with a line to it."""
    look = {"showarrow": True, "arrowhead": 0, "arrowwidth": 1, "ax": 0, "ay": -18, "font": {"size": 11}}
    return {"x": x, "y": y, "text": text, **look}


def short_name(name: str, most: int = 24) -> str:
    """A class's name as a text of Plotly, cut where it would not fit a figure."""
    return plain_text(name if len(name) <= most else name[: most - 1] + "…")


def plain_text(text: str) -> str:
    """A text that Plotly shows as it is, where it would take `<b>` for bold."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def distance_figure(distances: ClassDistances, names: Sequence[str]) -> Figure:
    """The matrix of the last recluster; the page's slider puts another one in its place."""
    labels = [short_name(names[code]) for code in distances.shown.tolist()]
    known = [matrix[~numpy.isnan(matrix)] for matrix in distances.matrices]
    lowest = min((float(values.min()) for values in known if len(values)), default=0.0)
    highest = max((float(values.max()) for values in known if len(values)), default=1.0)
    places = list(range(len(labels)))
    heat = {
        "type": "heatmap",
        "x": places,
        "y": places,
        "z": matrix_rows(distances.matrices[-1]),
        "zmin": round(lowest, 3),
        "zmax": round(highest, 3),
        "colorscale": "Cividis",
        "colorbar": {"title": {"text": "Distance", "side": "right"}, "thickness": 12, "len": 0.9},
        "hovertemplate": "%{y} – %{x}: %{z:.3f}<extra></extra>",
        "xgap": 1 if len(labels) <= 40 else 0,
        "ygap": 1 if len(labels) <= 40 else 0,
    }
    size = 11 if len(labels) <= 30 else 8 if len(labels) <= 60 else 7
    axis = {"tickvals": places, "ticktext": labels, "tickfont": {"size": size}, "showgrid": False, "zeroline": False}
    side = {**axis, "autorange": "reversed", "scaleanchor": "x", "constrain": "domain"}
    return figure([heat], {**axis, "tickangle": -90, "constrain": "domain"}, side)


def matrix_rows(matrix: Any) -> list[list[float | None]]:
    """A matrix for JSON, to three digits after the point; None for NaN."""
    return [[None if value != value else round(value, 3) for value in row] for row in matrix.tolist()]


def weight_figure(weights: ClassWeights, scores: ClassScores) -> Figure:
    """Class weights with mean 1: lines for the heaviest and the lightest, a band for those between."""
    present = numpy.flatnonzero(weights.weights[-1] > 0)
    relative = weights.weights * len(present)
    order = present[numpy.argsort(-relative[-1, present], kind="stable")].tolist()
    chosen = order if len(order) <= 2 * LINES_SHOWN else order[:LINES_SHOWN] + order[-LINES_SHOWN:]
    epochs = weights.epochs.tolist()
    low, high = (numpy.quantile(relative[:, present], share, axis=1).round(4).tolist() for share in (0.1, 0.9))
    band = {
        "type": "scatter",
        "mode": "lines",
        "name": "80 % of the classes",
        "x": epochs + epochs[::-1],
        "y": high + low[::-1],
        "fill": "toself",
        "fillcolor": "rgba(127,127,127,0.22)",
        "line": {"width": 0},
        "hoverinfo": "skip",
    }
    traces = [band] if len(epochs) > 1 and len(order) > len(chosen) else []
    shown: set[str] = set()
    for code in chosen:
        group = scores.groups[code]
        traces.append(
            {
                "type": "scatter",
                "mode": "lines+markers",
                "name": group,
                "legendgroup": group,
                "showlegend": group not in shown,
                "x": epochs,
                "y": relative[:, code].round(4).tolist(),
                "text": [plain_text(scores.names[code])] * len(epochs),
                "hovertemplate": "%{text}: %{y:.3f}<extra>" + group + "</extra>",
                "line": {"color": GROUP_COLOURS[group], "width": 1.5, "dash": LINE_DASHES[group]},
                "marker": {"symbol": GROUP_SYMBOLS[group], "size": 6},
            }
        )
        shown.add(group)
    notes = []
    for code, up in ((order[0], -20), (order[-1], 20)):
        note = point_note(epochs[-1], float(relative[-1, code]), short_name(scores.names[code]))
        notes.append({**note, "ay": up, "ax": -30})
    x: dict[str, Any] = {"title": {"text": "Epoch of the recluster"}}
    if len(epochs) <= _TICKS:
        x["tickvals"] = epochs
    return figure(traces, x, {"title": {"text": "Class weight (mean 1)"}}, hovermode="closest", annotations=notes)


def reliability_figure(bins: Mapping[str, Sequence[ReliabilityBin]]) -> Figure:
    """Share of right predictions against their confidence, for all and by group of the predicted class."""
    diagonal = {
        "type": "scatter",
        "mode": "lines",
        "name": "ideal",
        "x": [0, 1],
        "y": [0, 1],
        "line": {"color": "#7F7F7F", "width": 1, "dash": "dash"},
        "hoverinfo": "skip",
    }
    traces = [diagonal]
    for name, several in bins.items():
        most = max((one.samples for one in several), default=1)
        whole = name == "all"
        traces.append(
            {
                "type": "scatter",
                "mode": "lines+markers",
                "name": "all predictions" if whole else f"{name} predicted",
                "x": [round(one.confidence, 4) for one in several],
                "y": [round(one.correct, 4) for one in several],
                "text": [f"{one.samples:,} predictions" for one in several],
                "hovertemplate": "confidence %{x:.2f}, right %{y:.2f}<br>%{text}<extra></extra>",
                "line": {"color": GROUP_COLOURS[name], "width": 3 if whole else 1.5, "dash": LINE_DASHES[name]},
                "marker": {
                    "symbol": GROUP_SYMBOLS[name],
                    "size": [round(5 + 9 * (one.samples / most) ** 0.5, 1) for one in several],
                },
            }
        )
    axis = {"range": [-0.03, 1.03], "tickvals": [0, 0.25, 0.5, 0.75, 1]}
    x, y = ({**axis, "title": {"text": text}} for text in ("Stated probability", "Share that is right"))
    return figure(traces, x, y)
