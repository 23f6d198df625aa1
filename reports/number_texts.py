"""Numbers, intervals and durations as text."""

from __future__ import annotations

import math

from reports.analysis.intervals import Estimate


def number(value: float | None) -> str:
    """A number with three decimals, or a dash for None and NaN."""
    return "–" if value is None or math.isnan(value) else f"{value:z.3f}"


def interval(one: Estimate) -> str:
    """The bounds of a 95 % interval in brackets; empty if unknown."""
    return "" if math.isnan(one.low) else f"[{number(one.low)} to {number(one.high)}]"


def sample_count(count: int) -> str:
    """A number of test samples, as text."""
    return f"{count:,} test sample{'' if count == 1 else 's'}"


def signed(value: float) -> str:
    """A difference with its sign and three decimals, or a dash for NaN."""
    return "–" if math.isnan(value) else f"{value:+z.3f}".replace("-", "−").replace("+0.000", "0.000")


def signed_interval(one: Estimate) -> str:
    """The bounds of a 95 % interval of a difference in brackets; empty if unknown."""
    return "" if math.isnan(one.low) else f"[{signed(one.low)} to {signed(one.high)}]"


def probability(share: float, decimals: int = 2) -> str:
    """A probability that is not rounded to 0 or 1, such as `0.25`, `over 0.99` and `under 0.01`.

    Args:
        share: The probability.
        decimals: Number of decimals.
    """
    least, text = 10.0**-decimals, f"{share:.{decimals}f}"
    bounds = {0.0: f"under {least:.{decimals}f}", 1.0: f"over {1 - least:.{decimals}f}"}
    return bounds.get(float(text), text)


def percentage(share: float) -> str:
    """An estimated share that is not rounded to 0% or 100%, such as `25%`, `over 99%` and `under 1%`."""
    text = f"{100 * share:.0f}%"
    return {"0%": "under 1%", "100%": "over 99%"}.get(text, text)


def seconds(value: float) -> str:
    """A duration in seconds, minutes or hours, as text."""
    if value < 120:
        return f"{value:.1f} s" if value < 20 else f"{value:.0f} s"
    return f"{value / 60:.0f} min" if value < 7200 else f"{value / 3600:.1f} h"
