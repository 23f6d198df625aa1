from __future__ import annotations

import numpy

from reports.figures.colors import PALETTE, SHADES, class_colors, shade


def test_few_classes_have_a_color_each() -> None:
    assert len(set(class_colors(numpy.zeros((8, 2)), numpy.arange(8), 8))) == 8


def test_neighbors_have_different_colors() -> None:
    places = numpy.array([[x, y] for x in range(6) for y in range(6)], dtype=float)
    colors = class_colors(places, numpy.arange(36), 36)
    assert set(colors) == set(PALETTE)
    for code in range(36):
        distances = numpy.abs(places - places[code]).sum(axis=1)
        assert colors[code] not in [colors[other] for other in numpy.flatnonzero(distances == 1)]


def test_shades_differ_and_repeat() -> None:
    shades = [shade("#0072B2", place) for place in range(SHADES)]
    assert len(set(shades)) == SHADES
    assert shade("#0072B2", SHADES) == shades[0]
    assert shade("#0072B2", -1) == "#0072B2"
