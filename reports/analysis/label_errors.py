"""The errors that a model with several labels is most sure of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy
from numpy.typing import NDArray

SAMPLES_SHOWN = 10
"""Largest number of samples with a label that is predicted and absent, and of those with one that is missed."""


@dataclass(frozen=True)
class LabelError:
    """A label that a test sample has or has not, against what the model says.

    Attributes:
        sample: Index of the test sample.
        label: Place of the label.
        probability: Calibrated probability of the label.
        has: Whether the sample has the label.
    """

    sample: int
    label: int
    probability: float
    has: bool


def find_errors(
    labels: NDArray[Any],
    predicted: NDArray[Any],
    probabilities: NDArray[Any],
    seen: NDArray[Any],
    samples: NDArray[Any],
    most: int = SAMPLES_SHOWN,
) -> tuple[list[LabelError], list[LabelError]]:
    """Find absent labels of the highest probability, and present ones of the lowest; one for each sample.

    Args:
        labels: 1 the sample has the label, 0 it does not, -1 not known, integers (n, L).
        predicted: bool (n, L), labels that are predicted.
        probabilities: Calibrated probabilities, float (n, L).
        seen: bool (L,), labels that a training sample has; others are left out.
        samples: int (n,), equal for rows of the same sample, of which one is shown.
        most: Largest number of samples of each kind.

    Returns:
        Labels that are predicted and known to be absent; and labels that are not predicted and known to be present.
    """
    alarms, misses = (labels == 0) & predicted & seen, (labels == 1) & ~predicted & seen
    return (
        _first(alarms, -probabilities, probabilities, samples, True, most),
        _first(misses, probabilities, probabilities, samples, False, most),
    )


def _first(
    chosen: NDArray[Any],
    ranks: NDArray[Any],
    probabilities: NDArray[Any],
    samples: NDArray[Any],
    is_alarm: bool,
    most: int,
) -> list[LabelError]:
    rows, places = numpy.nonzero(chosen)
    found: dict[int, LabelError] = {}
    for entry in numpy.argsort(ranks[rows, places], kind="stable").tolist():
        row, place = int(rows[entry]), int(places[entry])
        error = LabelError(row, place, float(probabilities[row, place]), not is_alarm)
        found.setdefault(int(samples[row]), error)
        if len(found) == most:
            break
    return list(found.values())
