"""Shares that do not exist where there is nothing to share."""

from __future__ import annotations

from typing import Any

import numpy
from numpy.typing import NDArray


def share(part: NDArray[Any], whole: NDArray[Any], needed: NDArray[Any] | None = None) -> NDArray[Any]:
    """Each part divided by its whole, float64 (...).

    Args:
        part: Numbers (...).
        whole: Numbers (...) of 0 or more.
        needed: The share is NaN where this is 0, and 0 where only the whole is; that of the whole if None.
    """
    exists = (whole if needed is None else needed) > 0
    return numpy.where(exists, part / numpy.where(whole > 0, whole, 1), numpy.nan)
