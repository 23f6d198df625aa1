"""Parts of figures as Plotly's JSON; the page adds the colors of its theme."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy

Figure = dict[str, Any]

GROUP_COLORS = {"head": "#0072B2", "middle": "#E69F00", "tail": "#CC79A7", "all": "#7F7F7F"}
GROUP_SYMBOLS = {"head": "circle", "middle": "square", "tail": "diamond", "all": "x"}
GROUP_DASHES = {"head": "solid", "middle": "dash", "tail": "dot", "all": "solid"}


def figure(data: list[dict[str, Any]], x: dict[str, Any], y: dict[str, Any], **layout: Any) -> Figure:
    """A figure with axes, margins and a legend above the plot.

    Args:
        data: Traces.
        x: Settings of the horizontal axis.
        y: Settings of the vertical axis.
        **layout: Further settings of the layout.
    """
    legend = {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"}
    margin = {"l": 60, "r": 16, "t": 36, "b": 56}
    axes = {"xaxis": {"automargin": True, **x}, "yaxis": {"automargin": True, **y}}
    return {"data": data, "layout": {**axes, "legend": legend, "margin": margin, **layout}}


def log_axis(title: str, values: Sequence[int]) -> dict[str, Any]:
    """A logarithmic axis over the range of some values, with ticks at 1, 2, 5, 10 and so on.

    Args:
        title: Title of the axis.
        values: Values below 1 are ignored.
    """
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


def point_note(x: float, y: float, text: str) -> dict[str, Any]:
    """A text above a point, connected to it by a line."""
    look = {"showarrow": True, "arrowhead": 0, "arrowwidth": 1, "ax": 0, "ay": -18, "font": {"size": 11}}
    return {"x": x, "y": y, "text": text, **look}


def short_name(name: str, most: int = 24) -> str:
    """A class name as text for Plotly, shortened to at most `most` characters."""
    return plain_text(name if len(name) <= most else name[: most - 1] + "…")


def plain_text(text: str) -> str:
    """Text with its HTML characters escaped, since Plotly would read `<b>` as bold."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def rounded(values: Iterable[float | None], digits: int = 4) -> list[float | None]:
    """Numbers for JSON; None and NaN become None."""
    return [None if value is None or value != value else round(value, digits) for value in values]


def matrix_rows(matrix: Any) -> list[list[float | None]]:
    """The rows of a matrix for JSON, rounded to three decimals; NaN becomes None."""
    return [[None if value != value else round(value, 3) for value in row] for row in matrix.tolist()]
