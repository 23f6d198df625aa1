"""Confusions between classes, and samples that illustrate them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy
from numpy.typing import NDArray

CONFUSIONS_SHOWN = 24
"""Number of the costliest and of the most frequent confusions to show."""
EXAMPLES = 2
"""Number of examples of each confusion."""


@dataclass(frozen=True)
class Confusion:
    """Test samples of one class that are predicted as another class.

    Attributes:
        true: Code of the true class.
        predicted: Code of the predicted class.
        samples: Number of these samples.
        share: Fraction of the test samples of the true class.
        cost: Loss of balanced accuracy, 0 to 1.
    """

    true: int
    predicted: int
    samples: int
    share: float
    cost: float


@dataclass(frozen=True)
class Example:
    """A misclassified test sample and the nearest training sample of the predicted class.

    Attributes:
        test: Index among the test samples.
        training: Index among the training samples; None if none of that class was embedded.
        similarity: Cosine similarity of their embeddings; NaN without a training sample.
    """

    test: int
    training: int | None
    similarity: float


def find_confusions(codes: NDArray[Any], predicted: NDArray[Any], num_classes: int) -> list[Confusion]:
    """All confusions, the costliest first; of those with equal cost, the more frequent first.

    A wrong prediction costs 1 / (number of classes x test samples of its class) of balanced accuracy.

    Args:
        codes: int (n,), class codes.
        predicted: int (n,), predicted class codes.
        num_classes: Number of classes C.
    """
    support = numpy.bincount(codes, minlength=num_classes)
    present = int((support > 0).sum())
    wrong = codes != predicted
    cells, counts = numpy.unique(codes[wrong] * num_classes + predicted[wrong], return_counts=True)
    found = []
    for cell, count in zip(cells.tolist(), counts.tolist(), strict=True):
        true, taken_for = divmod(cell, num_classes)
        share = count / int(support[true])
        found.append(Confusion(true, taken_for, count, share, share / present))
    return sorted(found, key=lambda one: (-one.cost, -one.samples, one.true, one.predicted))


def shown_confusions(found: list[Confusion], most: int = CONFUSIONS_SHOWN) -> list[Confusion]:
    """The `most` costliest and the `most` frequent confusions, the costliest first."""
    frequent = sorted(found, key=lambda one: (-one.samples, -one.cost))[:most]
    chosen = {(one.true, one.predicted) for one in found[:most] + frequent}
    return [one for one in found if (one.true, one.predicted) in chosen]


def find_examples(
    confusion: Confusion,
    test: tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any]],
    training: tuple[NDArray[Any], NDArray[Any]],
    most: int = EXAMPLES,
) -> list[Example]:
    """The most confident predictions of a confusion, each with the nearest training sample of the predicted class.

    Args:
        confusion: The confusion.
        test: Class codes, predicted codes and confidences of test samples, all (n,), and unit embeddings (n, d).
        training: Class codes (m,) and unit embeddings (m, d) of training samples.
        most: Largest number of examples.
    """
    codes, predicted, confidence, embeddings = test
    places = numpy.flatnonzero((codes == confusion.true) & (predicted == confusion.predicted))
    places = places[numpy.argsort(-confidence[places], kind="stable")][:most]
    rivals = numpy.flatnonzero(training[0] == confusion.predicted)
    examples = []
    for place in places.tolist():
        if not len(rivals):
            examples.append(Example(place, None, float("nan")))
            continue
        similarities = training[1][rivals] @ embeddings[place]
        best = int(similarities.argmax())
        examples.append(Example(place, int(rivals[best]), float(similarities[best])))
    return examples
