"""Colors that tell classes and their sub-clusters apart."""

from __future__ import annotations

from typing import Any

import numpy
from numpy.typing import NDArray

# Okabe and Ito (2008), distinguishable with all common kinds of color blindness; without black, and with a yellow that
# is legible on white.
PALETTE = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#A89A00", "#7F7F7F")
SHADES = 5


def class_colors(points: NDArray[Any], codes: NDArray[Any], num_classes: int, neighbors: int = 7) -> list[str]:
    """Assign each class a color that few of the classes around it have.

    Args:
        points: (n, 2), positions of the samples.
        codes: int (n,), class codes of the samples.
        num_classes: Number of classes C. Classes have different colors as long as there are no more than colors.
        neighbors: Number of nearby classes to differ from.

    Returns:
        C colors as #rrggbb.
    """
    if num_classes <= len(PALETTE):
        return list(PALETTE[:num_classes])
    counts = numpy.bincount(codes, minlength=num_classes)
    centers = numpy.zeros((num_classes, 2))
    numpy.add.at(centers, codes, points)
    centers /= numpy.maximum(counts, 1)[:, None]
    chosen = numpy.full(num_classes, -1)
    used = numpy.zeros(len(PALETTE))
    for code in numpy.argsort(-counts, kind="stable").tolist():
        others = numpy.flatnonzero(chosen >= 0)
        distances = ((centers[others] - centers[code]) ** 2).sum(axis=1)
        around = chosen[others[numpy.argsort(distances, kind="stable")[:neighbors]]]
        taken = numpy.bincount(around, minlength=len(PALETTE))
        chosen[code] = int(numpy.lexsort((used, taken))[0])
        used[chosen[code]] += 1
    return [PALETTE[place] for place in chosen.tolist()]


def shade(color: str, place: int) -> str:
    """A lighter or darker color of the same hue, for a sub-cluster.

    Args:
        color: The color of the class, as #rrggbb.
        place: Number of the sub-cluster within its class; -1 gives the color of the class. There are `SHADES` shades,
            which then repeat.
    """
    if place < 0:
        return color
    amount = (0.0, 0.4, -0.35, 0.2, -0.18)[place % SHADES]
    parts = [int(color[start : start + 2], 16) for start in (1, 3, 5)]
    target = 255 if amount > 0 else 0
    mixed = [round(part + (target - part) * abs(amount)) for part in parts]
    return "#" + "".join(f"{part:02x}" for part in mixed)
