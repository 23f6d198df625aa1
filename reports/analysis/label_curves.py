"""Precision against recall of a label."""

from __future__ import annotations

from typing import Any

import numpy
from numpy.typing import NDArray

_POINTS = 80
"""Largest number of points of a curve."""


def precision_recall(scores: NDArray[Any], has: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Recall and precision for all thresholds on the scores of a label, from the highest threshold on.

    Args:
        scores: float (n,), higher where the label is more likely.
        has: bool (n,), whether a sample has the label.

    Returns:
        float64 (P,) each, with a point for each score that a sample with the label has, evenly thinned out to 80;
        empty if no sample has the label.
    """
    order = numpy.argsort(-scores, kind="stable")
    scores, has = scores[order], has[order]
    hits = numpy.cumsum(has)
    ends = numpy.flatnonzero(numpy.append(scores[1:] != scores[:-1], True)) if len(scores) else numpy.zeros(0, int)
    new = numpy.diff(hits[ends], prepend=0) > 0
    ends = ends[new]
    chosen = ends[numpy.linspace(0, len(ends) - 1, min(_POINTS, len(ends))).round().astype(int)]
    return hits[chosen] / max(int(has.sum()), 1), hits[chosen] / (chosen + 1)
