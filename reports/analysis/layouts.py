"""Embeddings in the plane, and colours that tell neighbouring classes apart."""

from __future__ import annotations

from typing import Any

import numpy
from numpy.typing import NDArray

# Okabe and Ito (2008), told apart with every common colour blindness; without black, and yellow darkened for white.
PALETTE = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#A89A00", "#7F7F7F")
SHADES = 5


def principal_components(embeddings: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Project vectors (n, d) on the two directions of largest variance.

    Returns:
        float32 (n, 2), and the share of the variance that each direction has, (2,).
    """
    centred = embeddings.astype(numpy.float64) - embeddings.mean(axis=0)
    if centred.shape[1] < 2:
        centred = numpy.pad(centred, ((0, 0), (0, 2 - centred.shape[1])))
    variances, directions = numpy.linalg.eigh(centred.T @ centred)
    chosen = directions[:, [-1, -2]]
    # An eigenvector's sign is arbitrary; the largest entry is made positive, so that a map does not flip.
    chosen = chosen * numpy.sign(chosen[numpy.abs(chosen).argmax(axis=0), [0, 1]])
    total = max(float(variances.sum()), 1e-12)
    return (centred @ chosen).astype(numpy.float32), variances[[-1, -2]].clip(0) / total


def umap_layout(embeddings: NDArray[Any], seed: int = 0) -> NDArray[Any]:
    """Lay vectors (n, d), four at least, out by UMAP with cosine distance, float32 (n, 2)."""
    import umap

    neighbours = min(15, len(embeddings) - 1)
    layout = umap.UMAP(n_neighbors=neighbours, metric="cosine", random_state=seed, n_jobs=1).fit_transform(embeddings)
    return numpy.asarray(layout, dtype=numpy.float32)


def class_colours(points: NDArray[Any], codes: NDArray[Any], num_classes: int, neighbours: int = 7) -> list[str]:
    """Give each class a colour that few of the classes around it have.

    Args:
        points: (n, 2), where samples lie.
        codes: int (n,), their classes.
        num_classes: Number of classes C; up to as many as there are colours get one each.
        neighbours: How many classes around a class to look at.

    Returns:
        C colours.
    """
    if num_classes <= len(PALETTE):
        return list(PALETTE[:num_classes])
    counts = numpy.bincount(codes, minlength=num_classes)
    centres = numpy.zeros((num_classes, 2))
    numpy.add.at(centres, codes, points)
    centres /= numpy.maximum(counts, 1)[:, None]
    chosen = numpy.full(num_classes, -1)
    used = numpy.zeros(len(PALETTE))
    for code in numpy.argsort(-counts, kind="stable").tolist():
        others = numpy.flatnonzero(chosen >= 0)
        distances = ((centres[others] - centres[code]) ** 2).sum(axis=1)
        around = chosen[others[numpy.argsort(distances, kind="stable")[:neighbours]]]
        taken = numpy.bincount(around, minlength=len(PALETTE))
        chosen[code] = int(numpy.lexsort((used, taken))[0])
        used[chosen[code]] += 1
    return [PALETTE[place] for place in chosen.tolist()]


def shade(colour: str, place: int) -> str:
    """A lighter or darker colour of the same hue for a sub-cluster; the colour itself for place -1.

    Args:
        colour: As #rrggbb.
        place: Of the sub-cluster among those of its class; shades come again after `SHADES`.
    """
    if place < 0:
        return colour
    amount = (0.0, 0.4, -0.35, 0.2, -0.18)[place % SHADES]
    parts = [int(colour[start : start + 2], 16) for start in (1, 3, 5)]
    target = 255 if amount > 0 else 0
    mixed = [round(part + (target - part) * abs(amount)) for part in parts]
    return "#" + "".join(f"{part:02x}" for part in mixed)
