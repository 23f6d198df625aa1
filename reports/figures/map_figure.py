"""The figure of the embedding map, and what the page shows about each of its points."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy

from reports.analysis.class_scores import ClassScores
from reports.figures.colors import class_colors, shade
from reports.figures.plotly_figure import Figure, figure, short_name
from reports.report_data import MapPoints
from reports.samples.evaluated import EvaluatedSamples
from reports.samples.sample_texts import SampleTexts

MARKERS_AS_SVG = 6_000
"""A map of more points is drawn with WebGL, which is faster and prints less sharply."""


def map_figure(points: MapPoints, training: EvaluatedSamples, test: EvaluatedSamples, scores: ClassScores) -> Figure:
    """Points: training samples as circles, test samples as diamonds, misclassified ones as crosses, colored by class.

    The `customdata` of a point is its index among the points of the map.

    Args:
        points: The samples on the map and their layouts.
        training: Embedded training samples.
        test: Evaluated test samples.
        scores: Names of the classes.
    """
    layout = points.layouts["PCA"]
    codes = numpy.concatenate([training.codes[points.training], test.codes[points.test]])
    colors = class_colors(layout, codes, len(scores.names))
    subclusters = numpy.concatenate([training.subclusters[points.training], numpy.full(len(points.test), -1)])
    shades = [shade(colors[code], place) for code, place in zip(codes.tolist(), subclusters.tolist(), strict=True)]
    wrong = test.predicted[points.test] != test.codes[points.test]
    start = len(points.training)
    kinds = {
        "training": (numpy.arange(start), "circle", 5, 0.55),
        "test, correct": (start + numpy.flatnonzero(~wrong), "diamond", 8, 0.9),
        "test, misclassified": (start + numpy.flatnonzero(wrong), "x", 8, 0.95),
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
    # The legend explains the symbols alone; by default it would take the color of a trace's first point.
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
    texts: Mapping[str, SampleTexts],
) -> tuple[dict[str, Any], list[str], list[str]]:
    """What the page shows about each point, in columns, and the drawings and the SMILES of all points, in order.

    Args:
        points: The samples on the map.
        training: Embedded training samples.
        test: Evaluated test samples.
        texts: Texts of samples, by split.
    """
    parts = ((training, points.training, texts["train"]), (test, points.test, texts["test"]))
    chosen = [own[place] for _, places, own in parts for place in places.tolist()]
    drawings = [line for text in chosen for line in text.drawings]
    columns = {
        "names": [text.name for text in chosen],
        "classes": [code for samples, places, _ in parts for code in samples.codes[places].tolist()],
        "predicted": [code for samples, places, _ in parts for code in samples.predicted[places].tolist()],
        "confidence": [
            round(value, 3) for samples, places, _ in parts for value in samples.confidence[places].tolist()
        ],
        "training": len(points.training),
        "layouts": {name: layout.round(4).T.tolist() for name, layout in points.layouts.items()},
        "perSample": len(chosen[0].drawings) if chosen else 0,
    }
    return columns, drawings, [text.smiles for text in chosen]
