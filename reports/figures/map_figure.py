"""The embedding map as Plotly's JSON, and what the page shows of each of its points."""

from __future__ import annotations

from typing import Any

import numpy

from reports.analysis.class_scores import ClassScores
from reports.analysis.layouts import class_colours, shade
from reports.figures.class_figures import Figure, figure, short_name
from reports.report_data import MapPoints, SampleTexts
from reports.samples.evaluated import EvaluatedSamples

# More markers than these are drawn by WebGL, which prints less sharply.
MARKERS_AS_SVG = 6_000


def map_figure(points: MapPoints, training: EvaluatedSamples, test: EvaluatedSamples, scores: ClassScores) -> Figure:
    """Training samples as dots, test samples as diamonds, wrongly predicted ones as crosses, in their class's colour.

    A point's `customdata` is its place among the points of the map.

    Args:
        points: Which samples, and where they lie.
        training: Embedded training samples.
        test: Evaluated test samples.
        scores: Of the classes.
    """
    layout = points.layouts["PCA"]
    codes = numpy.concatenate([training.codes[points.training], test.codes[points.test]])
    colours = class_colours(layout, codes, len(scores.names))
    subclusters = numpy.concatenate([training.subclusters[points.training], numpy.full(len(points.test), -1)])
    shades = [shade(colours[code], place) for code, place in zip(codes.tolist(), subclusters.tolist(), strict=True)]
    wrong = test.predicted[points.test] != test.codes[points.test]
    start = len(points.training)
    kinds = {
        "training": (numpy.arange(start), "circle", 5, 0.55),
        "test, predicted right": (start + numpy.flatnonzero(~wrong), "diamond", 8, 0.9),
        "test, predicted wrong": (start + numpy.flatnonzero(wrong), "x", 8, 0.95),
    }
    kind = "scatter" if len(codes) <= MARKERS_AS_SVG else "scattergl"
    traces = [
        {
            "type": kind,
            "mode": "markers",
            "name": name,
            "x": layout[places, 0].round(4).tolist(),
            "y": layout[places, 1].round(4).tolist(),
            "customdata": places.tolist(),
            "hovertemplate": "%{text}<extra></extra>",
            "text": [short_name(scores.names[codes[place]]) for place in places.tolist()],
            "marker": {
                "color": [shades[place] for place in places.tolist()],
                "symbol": symbol,
                "size": size,
                "opacity": opacity,
                "line": {"width": 0},
            },
            "unselected": {"marker": {"opacity": 0.06}},
            "legendgroup": name,
            "showlegend": False,
        }
        for name, (places, symbol, size, opacity) in kinds.items()
    ]
    # The legend is about symbols: the colour of a trace's first point would say something untrue.
    traces += [
        {
            "type": "scatter",
            "mode": "markers",
            "name": name,
            "legendgroup": name,
            "x": [None],
            "y": [None],
            "customdata": [],
            "marker": {"color": "#7F7F7F", "symbol": symbol, "size": size},
        }
        for name, (_, symbol, size, _) in kinds.items()
    ]
    axes = [
        {"title": {"text": f"{name} component ({share:.0%} of the variance)"}, "zeroline": False}
        for name, share in zip(("First", "Second"), points.variance.tolist(), strict=True)
    ]
    return figure(traces, axes[0], axes[1], hovermode="closest", dragmode="pan")


def map_points(
    points: MapPoints,
    training: EvaluatedSamples,
    test: EvaluatedSamples,
    training_texts: SampleTexts,
    test_texts: SampleTexts,
) -> tuple[dict[str, Any], list[str]]:
    """Columns of what is shown of each point, and the drawings of all points, in order.

    Args:
        points: Which samples.
        training: Embedded training samples.
        test: Evaluated test samples.
        training_texts: Name and drawings by place among the training samples.
        test_texts: The same of the test samples.
    """
    parts = ((training, points.training, training_texts), (test, points.test, test_texts))
    chosen = [texts[place] for _, places, texts in parts for place in places.tolist()]
    drawings = [line for _, lines in chosen for line in lines]
    columns = {
        "names": [name for name, _ in chosen],
        "classes": [code for samples, places, _ in parts for code in samples.codes[places].tolist()],
        "predicted": [code for samples, places, _ in parts for code in samples.predicted[places].tolist()],
        "confidence": [
            round(value, 3) for samples, places, _ in parts for value in samples.confidence[places].tolist()
        ],
        "training": len(points.training),
        "layouts": {name: layout.round(4).T.tolist() for name, layout in points.layouts.items()},
        "perSample": len(chosen[0][1]) if chosen else 0,
    }
    return columns, drawings
