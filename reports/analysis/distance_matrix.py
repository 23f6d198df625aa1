"""Distances between classes at each recluster."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy
from numpy.typing import NDArray

from modules.evaluation.class_means_file import ClassMeans

CLASSES_SHOWN = 80
"""Largest number of classes in a matrix."""
RECLUSTERS_SHOWN = 30
"""Largest number of reclusters with a matrix."""


@dataclass(frozen=True)
class ClassDistances:
    """Distances between C classes at R reclusters.

    Attributes:
        epochs: Epoch of each recluster; None for distances measured with the checkpoint.
        matrices: R matrices float32 (S, S) of the shown classes; NaN on the diagonal and for classes without samples.
        shown: Codes of the S shown classes, similar ones next to each other.
        rivals: R arrays int64 (C,) with the nearest other class; -1 for a class without samples or without rivals.
        nearest: R arrays float32 (C,) with the distance to that class; NaN without a rival.
        reclusters: Number of reclusters in the run, of which R are kept.
    """

    epochs: tuple[int | None, ...]
    matrices: tuple[NDArray[Any], ...]
    shown: NDArray[Any]
    rivals: tuple[NDArray[Any], ...]
    nearest: tuple[NDArray[Any], ...]
    reclusters: int


def distances_between(means: ClassMeans) -> NDArray[Any]:
    """Euclidean distances between class means, float32 (C, C); NaN on the diagonal and for classes without samples."""
    points = means.means.astype(numpy.float64)
    norms = (points**2).sum(axis=1)
    squares = norms[:, None] + norms[None, :] - 2 * points @ points.T
    distances = numpy.sqrt(numpy.maximum(squares, 0))
    missing = means.samples == 0
    distances[missing] = numpy.nan
    distances[:, missing] = numpy.nan
    numpy.fill_diagonal(distances, numpy.nan)
    return numpy.asarray(distances, dtype=numpy.float32)


def compare_classes(reclusters: Sequence[ClassMeans], most: int = CLASSES_SHOWN) -> ClassDistances:
    """Compute the distances between class means and choose the classes to show.

    Args:
        reclusters: Class means of at least one recluster, by epoch. At most `RECLUSTERS_SHOWN` are kept, evenly spaced
            from the first to the last.
        most: Largest number of classes to show; those closest to a rival at the last recluster are taken.
    """
    places = numpy.unique(numpy.linspace(0, len(reclusters) - 1, RECLUSTERS_SHOWN).round().astype(int))
    kept = [reclusters[place] for place in places]
    matrices = [distances_between(means) for means in kept]
    found = [nearest_rivals(matrix) for matrix in matrices]
    nearest = found[-1][1]
    order = numpy.argsort(nearest, kind="stable")
    chosen = numpy.sort(order[: min(most, int((~numpy.isnan(nearest)).sum()))])
    shown = chosen[order_by_similarity(matrices[-1][numpy.ix_(chosen, chosen)])]
    return ClassDistances(
        epochs=tuple(means.epoch for means in kept),
        matrices=tuple(matrix[numpy.ix_(shown, shown)] for matrix in matrices),
        shown=shown,
        rivals=tuple(one[0] for one in found),
        nearest=tuple(one[1] for one in found),
        reclusters=len(reclusters),
    )


def similar_classes(means: ClassMeans) -> NDArray[Any]:
    """An order of all C classes, int64 (C,), with similar ones next to each other; those without samples are last.

    Args:
        means: Class means.
    """
    present = numpy.flatnonzero(means.samples > 0)
    matrix = distances_between(means)[numpy.ix_(present, present)]
    return numpy.concatenate([present[order_by_similarity(matrix)], numpy.flatnonzero(means.samples == 0)])


def nearest_rivals(matrix: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """The nearest other class, int64 (C,), or -1, and the distance to it, float32 (C,), or NaN."""
    filled = numpy.where(numpy.isnan(matrix), numpy.inf, matrix)
    rivals = filled.argmin(axis=1)
    nearest = filled[numpy.arange(len(matrix)), rivals]
    alone = ~numpy.isfinite(nearest)
    return numpy.where(alone, -1, rivals), numpy.where(alone, numpy.nan, nearest)


def order_by_similarity(matrix: NDArray[Any]) -> NDArray[Any]:
    """An order of S classes, int64 (S,), with similar ones next to each other (average linkage)."""
    if len(matrix) < 3:
        return numpy.arange(len(matrix))
    from scipy.cluster.hierarchy import leaves_list, linkage
    from scipy.spatial.distance import squareform

    full = numpy.where(numpy.isnan(matrix), 0, (matrix + matrix.T) / 2)
    return numpy.asarray(leaves_list(linkage(squareform(full, checks=False), "average", optimal_ordering=True)))
