"""The matrix of all confusions, which the page fills in."""

from __future__ import annotations

from typing import Any

import numpy

from reports.analysis.class_scores import ClassScores
from reports.figures.plotly_figure import Figure, figure
from reports.samples.evaluated import EvaluatedSamples

CLASSES_SHOWN = 1_000
"""Largest number of classes in the matrix of confusions."""


def confusion_figure() -> Figure:
    """The heat map without cells and class names, which the page adds in the order that the user chooses."""
    heat = {
        "type": "heatmap",
        "z": [[0]],
        # Shares of errors are negative here, so that they have a color of their own.
        "zmin": -1,
        "zmax": 1,
        "colorbar": {
            "title": {"text": "Share of the true class:<br>mistaken (orange), found (blue)", "side": "right"},
            "thickness": 12,
            "len": 0.9,
            "tickvals": [-1, -0.5, 0.5, 1],
            "ticktext": ["100%", "50%", "50%", "100%"],
        },
        "hoverongaps": False,
        "hovertemplate": "%{text}<extra></extra>",
    }
    axis = {"showgrid": False, "zeroline": False, "constrain": "domain", "tickangle": 0}
    x = {**axis, "title": {"text": "Predicted class"}, "tickangle": -90}
    y = {**axis, "title": {"text": "True class"}, "autorange": "reversed", "scaleanchor": "x"}
    return figure([heat], x, y, dragmode="zoom")


def confusion_cells(test: EvaluatedSamples, scores: ClassScores, similar: Any) -> dict[str, Any]:
    """The cells of the matrix that are not empty, and the order of its classes.

    There are as many cells as evaluated test samples at most, however many classes there are.

    Args:
        test: Evaluated test samples.
        scores: Names and sizes of the classes.
        similar: Codes of all classes, int (C,), similar ones next to each other.

    Returns:
        In `cells` the true class, the predicted class and the number of samples, one after the other; in `samples` the
        evaluated samples of each class; in `similar` and `size` the codes of the shown classes in either order. Of more
        than `CLASSES_SHOWN` classes, those with the most errors of either kind are shown.
    """
    size = len(scores.names)
    places, counts = numpy.unique(test.codes * size + test.predicted, return_counts=True)
    true, predicted = numpy.divmod(places, size)
    wrong = true != predicted
    errors = numpy.bincount(true[wrong], counts[wrong], size) + numpy.bincount(predicted[wrong], counts[wrong], size)
    kept = numpy.zeros(size, dtype=bool)
    kept[numpy.lexsort((-scores.training, -errors))[:CLASSES_SHOWN]] = True
    inside = kept[true] & kept[predicted]
    by_size = numpy.argsort(-scores.training, kind="stable")
    return {
        "cells": numpy.stack([true, predicted, counts], axis=1)[inside].ravel().tolist(),
        "samples": numpy.bincount(test.codes, minlength=size).tolist(),
        "similar": similar[kept[similar]].tolist(),
        "size": by_size[kept[by_size]].tolist(),
    }
