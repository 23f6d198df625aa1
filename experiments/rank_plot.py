"""The critical-difference diagram: mean ranks of the methods over the data sets."""

from __future__ import annotations

from pathlib import Path

import numpy
import polars

from base.atomic_file import write_file
from experiments.result_tables import rank_methods

# Inches.
_WIDTH = 7.0
_HEIGHT = 1.2
_HEIGHT_PER_METHOD = 0.22
# As a share of the length of the axis.
_LABEL_DISTANCE = 0.03


def plot_ranks(cells: polars.DataFrame, metric: str, path: Path) -> bool:
    """Draw the mean ranks as SVG, with a bar across methods that do not differ by Nemenyi's test at 0.05.

    The diagram is that of Demšar (2006, JMLR 7).

    Args:
        cells: One row per run, as for `result_tables.summarize`.
        metric: Column of the scores; higher is better.
        path: Path of the SVG file.

    Returns:
        Whether the file was written, which takes two data sets, and three methods that every data set has.

    Raises:
        ValueError: If `metric` is not a column.
    """
    names, ranked = rank_methods(cells, metric)
    if ranked is None or ranked.nemenyi is None:
        return False
    from matplotlib import rc_context
    from matplotlib.figure import Figure
    from pandas import DataFrame, Series
    from scikit_posthocs import critical_difference_diagram

    # pyplot would keep the figure and choose a window system.
    figure = Figure(figsize=(_WIDTH, _HEIGHT + _HEIGHT_PER_METHOD * len(names)))
    axes = figure.add_subplot()
    critical_difference_diagram(
        Series(ranked.mean_ranks, index=names),
        DataFrame(ranked.nemenyi, index=names, columns=names),
        ax=axes,
        label_props={"parse_math": False},
        text_h_margin=_LABEL_DISTANCE * float(numpy.ptp(ranked.mean_ranks)),
    )
    # The file depends on the ranks alone: no date, fixed identifiers, and bars drawn from left to right.
    for line in axes.get_lines():
        if numpy.ptp(numpy.asarray(line.get_ydata())) == 0:
            line.set_xdata(numpy.sort(numpy.asarray(line.get_xdata())))
    with rc_context({"svg.hashsalt": "ranks"}):
        write_file(
            path,
            lambda temporary: figure.savefig(temporary, format="svg", bbox_inches="tight", metadata={"Date": None}),
        )
    return True
