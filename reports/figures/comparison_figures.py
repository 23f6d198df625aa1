"""Figures of several runs beside each other."""

from __future__ import annotations

from typing import Any

import numpy
from numpy.typing import NDArray

from reports.compared_runs import Comparison
from reports.figures.colors import PALETTE
from reports.figures.plotly_figure import Figure, figure, log_axis, plain_text, rounded
from reports.number_texts import sample_count

_SYMBOLS = ("circle", "square", "diamond", "x", "triangle-up", "cross", "star", "pentagon")


def metric_figure(comparison: Comparison) -> Figure:
    """Bars: accuracies or average precisions of each run, with their 95 % intervals if they are known."""
    kind = comparison.kind
    traces = [
        {
            "type": "bar",
            "name": plain_text(name),
            "x": list(kind.bars.values()),
            "y": [metrics.get(f"test/{metric}") for metric in kind.bars],
            "hovertemplate": "%{x} %{y:.3f}<extra>%{fullData.name}</extra>",
            "marker": {"color": PALETTE[place % len(PALETTE)]},
            **_error_bars(comparison, place),
        }
        for place, (metrics, name) in enumerate(zip(comparison.metrics, comparison.names, strict=True))
    ]
    return figure(traces, {}, {"title": {"text": kind.bars_title}, "range": [0, 1]}, barmode="group")


def _error_bars(comparison: Comparison, place: int) -> dict[str, Any]:
    if isinstance(comparison.tests, str):
        return {}
    found = [comparison.tests.estimates[place][metric] for metric in comparison.kind.bars]
    above, below = rounded(one.high - one.value for one in found), rounded(one.value - one.low for one in found)
    bars = {"type": "data", "symmetric": False, "array": above, "arrayminus": below, "thickness": 1, "width": 3}
    return {"error_y": {**bars, "color": "#7F7F7F"}}


def difference_figure(comparison: Comparison) -> Figure:
    """Points: score of each class minus that in the first run, against training samples, for each other run.

    Points of differences within noise are pale.
    """
    x, scores = numpy.maximum(comparison.training, 1).tolist(), comparison.scores
    traces = [
        {
            "type": "scatter",
            "mode": "markers",
            "name": plain_text(comparison.names[place]),
            "x": x,
            "y": rounded((scores[place] - scores[0]).tolist()),
            "text": [_counted(comparison, code) for code in range(len(comparison.classes))],
            "hovertemplate": "%{text}: %{y:+.2f}<extra>%{fullData.name}</extra>",
            "marker": {**_marker(place), "opacity": _opacities(comparison, place)},
        }
        for place in range(1, len(comparison.runs))
    ]
    y = {
        "title": {"text": comparison.kind.gain_title.format(first=plain_text(comparison.names[0]))},
        "zeroline": True,
        "zerolinewidth": 2,
    }
    return figure(
        traces, log_axis("Training samples (logarithmic)", comparison.training.tolist()), y, hovermode="closest"
    )


def _counted(comparison: Comparison, code: int) -> str:
    name, tests = plain_text(comparison.classes[code]), comparison.tests
    if isinstance(tests, str):
        return name
    return f"{name} ({sample_count(int(tests.samples[code]))}{comparison.kind.counted})"


def _opacities(comparison: Comparison, place: int) -> list[float]:
    if isinstance(comparison.tests, str):
        return [0.35] * len(comparison.classes)
    return [0.9 if clear else 0.35 for clear in comparison.tests.clear_classes(place).tolist()]


def last_weights(comparison: Comparison) -> list[NDArray[Any] | None]:
    """Class weights of each run's last recluster, with mean 1 over classes with samples; None without reclusters."""
    weights = [run.weights.weights[-1] if run.weights is not None else None for run in comparison.runs]
    return [None if one is None else one * max(1, int((one > 0).sum())) for one in weights]


def weight_figure(comparison: Comparison) -> Figure:
    """Points: class weights of each run's last recluster, against training samples."""
    traces = [
        {
            "type": "scatter",
            "mode": "markers",
            "name": plain_text(comparison.names[place]),
            "x": numpy.maximum(comparison.training, 1).tolist(),
            "y": weights.round(4).tolist(),
            "text": [plain_text(name) for name in comparison.classes],
            "hovertemplate": "%{text}: %{y:.3f}<extra>%{fullData.name}</extra>",
            "marker": _marker(place),
        }
        for place, weights in enumerate(last_weights(comparison))
        if weights is not None
    ]
    y = {"title": {"text": f"{comparison.kind.noun.capitalize()} weight (mean 1)"}}
    return figure(
        traces, log_axis("Training samples (logarithmic)", comparison.training.tolist()), y, hovermode="closest"
    )


def _marker(place: int) -> dict[str, Any]:
    look = {"color": PALETTE[place % len(PALETTE)], "symbol": _SYMBOLS[place % len(_SYMBOLS)]}
    return {**look, "size": 8, "opacity": 0.7}
