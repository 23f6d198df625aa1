"""Which classes are taken for which, and molecules that show why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy
from numpy.typing import NDArray

CONFUSIONS_SHOWN = 24
EXAMPLES = 2


@dataclass(frozen=True)
class Confusion:
    """Test samples of one class that were predicted as another one.

    Attributes:
        true: Their class.
        predicted: What they were taken for.
        samples: How many.
        share: Of the class's test samples.
        cost: What they cost in balanced accuracy, 0 to 1.
    """

    true: int
    predicted: int
    samples: int
    share: float
    cost: float


@dataclass(frozen=True)
class Example:
    """A wrongly predicted test sample beside the nearest training sample of the class it was taken for.

    Attributes:
        test: Place among the test samples.
        training: Place among the training samples; None if none of that class was embedded.
        similarity: Cosine of their embeddings; NaN without a training sample.
    """

    test: int
    training: int | None
    similarity: float


def find_confusions(codes: NDArray[Any], predicted: NDArray[Any], num_classes: int) -> list[Confusion]:
    """All confusions, those that cost most balanced accuracy first, of equal cost the more frequent.

    A wrong prediction costs more where its class has few test samples: 1 / (classes x samples of the class).

    Args:
        codes: int (n,), classes.
        predicted: int (n,).
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
    """The costliest and the most frequent ones, as many of each, costliest first."""
    frequent = sorted(found, key=lambda one: (-one.samples, -one.cost))[:most]
    chosen = {(one.true, one.predicted) for one in found[:most] + frequent}
    return [one for one in found if (one.true, one.predicted) in chosen]


def find_examples(
    confusion: Confusion,
    test: tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any]],
    training: tuple[NDArray[Any], NDArray[Any]],
    most: int = EXAMPLES,
) -> list[Example]:
    """The most confident of a confusion's predictions, each with its nearest training sample of the predicted class.

    Args:
        confusion: Which.
        test: Classes, predictions and confidences, all (n,), and unit embeddings (n, d).
        training: Classes (m,) and unit embeddings (m, d).
        most: How many examples.
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
