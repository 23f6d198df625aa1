"""Figures about classes and predictions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy

from modules.evaluation.group_names import GROUPS
from reports.analysis.class_results import ClassResults
from reports.analysis.class_scores import ClassScores, ReliabilityBin, easy_tail_classes, hard_head_classes
from reports.analysis.distance_matrix import ClassDistances
from reports.figures.plotly_figure import (
    GROUP_COLORS,
    GROUP_DASHES,
    GROUP_SYMBOLS,
    Figure,
    figure,
    log_axis,
    matrix_rows,
    plain_text,
    point_note,
    short_name,
)
from reports.run_files import ClassWeights

NAMED = 4
"""Number of names beside the points of easy tail classes, and of hard head classes."""
LINES_SHOWN = 6
"""Number of heaviest and of lightest classes with a line of their own."""
RELIABILITY_NAMES = {"all": "all predictions"} | {group: f"{group} predicted" for group in GROUPS}
_TICKS = 12
_NOTE_DISTANCE, _NOTE_HEIGHT = 0.1, 0.09
"""Distance of a name from its point, and its height with some space, in units of recall."""
_LETTER = 0.024
"""Width of a letter of a name, as a share of the width of the figure on a phone."""


def class_count_figure(scores: ClassScores) -> Figure:
    """Bars: training samples of each class, the largest first, on a logarithmic scale."""
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
                "marker": {"color": GROUP_COLORS[group], "line": {"width": 0}},
            }
        )
    y = log_axis("Training samples (logarithmic)", scores.training.tolist())
    # On an axis that starts at 1, the bar of a class with one sample has no height.
    y["range"][0] = min(y["range"][0], -0.25) if scores.training.min() <= 1 else y["range"][0]
    return figure(traces, {"title": {"text": "Class, by size"}}, y, barmode="overlay", bargap=0.1)


def recall_figure(scores: ClassScores, results: ClassResults) -> Figure:
    """Points: recall against training samples of each class, with names of easy tail and hard head classes.

    Args:
        scores: Recall and sizes of the classes.
        results: Intervals of the recalls.
    """
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
                "text": [_recall_text(scores, results, code) for code in codes],
                "hovertemplate": "%{text}, %{x:,} for training<extra>" + group + "</extra>",
                "marker": {"color": GROUP_COLORS[group], "symbol": GROUP_SYMBOLS[group], "size": 9, "opacity": 0.85},
            }
        )
    notes: list[dict[str, Any]] = []
    for note in (
        *_class_notes(scores, easy_tail_classes(scores), up=True),
        *_class_notes(scores, hard_head_classes(scores), up=False),
    ):
        if not any(_touch(_note_box(note, scores), _note_box(other, scores)) for other in notes):
            notes.append(note)
    y = {"title": {"text": "Recall"}, "range": [-0.06, 1.14], "tickvals": [0, 0.25, 0.5, 0.75, 1]}
    return figure(traces, log_axis("Training samples (logarithmic)", scores.training.tolist()), y, annotations=notes)


def _recall_text(scores: ClassScores, results: ClassResults, code: int) -> str:
    name, hits, tested = plain_text(scores.names[code]), results.hits[code], results.evaluated[code]
    bounds = f"{results.recall_low[code]:.2f} to {results.recall_high[code]:.2f}"
    return f"{name}<br>recall {scores.recall[code]:.2f} [{bounds}]<br>{hits:,} of {tested:,} test samples"


def _note_box(note: Mapping[str, Any], scores: ClassScores) -> tuple[float, float, float]:
    """Left and right end of the text of a note, as shares of the axis, and its height in units of recall."""
    logs = numpy.log10(numpy.maximum(scores.training, 1))
    place = (note["x"] - float(logs.min())) / max(float(logs.max() - logs.min()), 0.1)
    width = _LETTER * len(note["text"])
    start = place - {"left": 0.0, "center": width / 2, "right": width}[note["xanchor"]]
    return start, start + width, note["y"] + (_NOTE_DISTANCE if note["ay"] < 0 else -_NOTE_DISTANCE)


def _touch(one: tuple[float, float, float], other: tuple[float, float, float]) -> bool:
    return one[0] < other[1] and other[0] < one[1] and abs(one[2] - other[2]) < _NOTE_HEIGHT


def _class_notes(scores: ClassScores, codes: Sequence[int], up: bool) -> list[dict[str, Any]]:
    """Class names beside points; points that are close together share one name and the number of the others."""
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


def distance_figure(distances: ClassDistances, names: Sequence[str]) -> Figure:
    """Heat map: distances between classes at the last recluster; the slider of the page shows the other ones.

    Args:
        distances: Distances between classes.
        names: C labels.
    """
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


def weight_figure(weights: ClassWeights, scores: ClassScores) -> Figure:
    """Lines: weights, with mean 1, of the heaviest and lightest classes, and a band for those between."""
    present = numpy.flatnonzero(weights.weights[-1] > 0)
    relative = weights.weights * len(present)
    order = present[numpy.argsort(-relative[-1, present], kind="stable")].tolist()
    chosen = order if len(order) <= 2 * LINES_SHOWN else order[:LINES_SHOWN] + order[-LINES_SHOWN:]
    epochs = weights.epochs.tolist()
    traces = [_weight_band(epochs, relative[:, present])] if len(epochs) > 1 and len(order) > len(chosen) else []
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
                "line": {"color": GROUP_COLORS[group], "width": 1.5, "dash": GROUP_DASHES[group]},
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


def _weight_band(epochs: list[int], relative: Any) -> dict[str, Any]:
    """The range of the weights, (R, C), without the highest and the lowest tenth at each of R reclusters."""
    low, high = (numpy.quantile(relative, share, axis=1).round(4).tolist() for share in (0.1, 0.9))
    return {
        "type": "scatter",
        "mode": "lines",
        "name": "80% of the classes",
        "x": epochs + epochs[::-1],
        "y": high + low[::-1],
        "fill": "toself",
        "fillcolor": "rgba(127,127,127,0.22)",
        "line": {"width": 0},
        "hoverinfo": "skip",
    }


def reliability_figure(
    bins: Mapping[str, Sequence[ReliabilityBin]],
    names: Mapping[str, str] = RELIABILITY_NAMES,
    y_title: str = "Fraction correct",
) -> Figure:
    """Lines: fraction of correct predictions against their probability, in all and by group of the predicted class.

    Args:
        bins: Bins of all predictions and of each group, by name.
        names: What the lines are called.
        y_title: What is counted.
    """
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
        is_all = name == "all"
        traces.append(
            {
                "type": "scatter",
                "mode": "lines+markers",
                "name": names[name],
                "x": [round(one.confidence, 4) for one in several],
                "y": [round(one.correct, 4) for one in several],
                "text": [f"{one.samples:,} predictions" for one in several],
                "hovertemplate": "probability %{x:.2f}, " + y_title.lower() + " %{y:.2f}<br>%{text}<extra></extra>",
                "line": {"color": GROUP_COLORS[name], "width": 3 if is_all else 1.5, "dash": GROUP_DASHES[name]},
                "marker": {
                    "symbol": GROUP_SYMBOLS[name],
                    "size": [round(5 + 9 * (one.samples / most) ** 0.5, 1) for one in several],
                },
            }
        )
    axis = {"range": [-0.03, 1.03], "tickvals": [0, 0.25, 0.5, 0.75, 1]}
    x, y = ({**axis, "title": {"text": text}} for text in ("Predicted probability", y_title))
    return figure(traces, x, y)
