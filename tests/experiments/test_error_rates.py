"""How often the corrected t-test calls a difference clear, in simulations."""

from math import sqrt
from typing import Any

import numpy
import pytest
from numpy.typing import NDArray

from experiments.paired_statistics import Floats, compare

EXPERIMENTS = 1000
SPLITS = 10
# Two standard errors of a rate of 0.05 over the experiments.
HIGHEST_RATE = 0.05 + 2 * sqrt(0.05 * 0.95 / EXPERIMENTS)


def null_differences(samples: int, features: int, train_samples: int) -> Floats:
    """Accuracy of one learner minus that of another that is as good, ``(EXPERIMENTS, SPLITS)``.

    In each experiment a data set of two classes is drawn. The splits of the one data set overlap.
    """
    generator = numpy.random.default_rng(0)
    labels = generator.integers(2, size=(EXPERIMENTS, 1, samples))
    test = generator.random((EXPERIMENTS, SPLITS, samples)).argsort(axis=2) >= train_samples
    return learned_differences(generator, labels, [test], features)


def out_of_fold_differences(samples: int, features: int, folds: int) -> Floats:
    """As `null_differences`, where each split divides all samples into folds, whose members test them, ``(200, S)``."""
    generator = numpy.random.default_rng(0)
    labels = generator.integers(2, size=(200, 1, samples))
    fold = generator.random((200, SPLITS, samples)).argsort(axis=2) % folds
    return learned_differences(generator, labels, [fold == left_out for left_out in range(folds)], features)


def learned_differences(
    generator: numpy.random.Generator, labels: NDArray[Any], tests: list[NDArray[Any]], features: int
) -> Floats:
    """Differences of the accuracies on all `tests` of two learners, each of which is trained on the other samples.

    Both are nearest-class-mean classifiers, each on features of its own that are drawn from the same distribution.
    """
    accuracies = []
    for _ in range(2):
        blocks = generator.normal(size=(len(labels), labels.shape[2], features))
        blocks[..., 0] += labels[:, 0] - 0.5
        right = numpy.zeros(tests[0].shape[:2])
        for test in tests:
            members = [~test & (labels == label) for label in (0, 1)]
            centers = [member @ blocks / member.sum(axis=2, keepdims=True) for member in members]
            squares = [(center**2).sum(axis=2)[..., None] for center in centers]
            nearer_one = (centers[1] - centers[0]) @ blocks.swapaxes(1, 2) > (squares[1] - squares[0]) / 2
            right += ((nearer_one == labels) & test).sum(axis=2)
        accuracies.append(right / sum(test.sum(axis=2) for test in tests))
    differences: Floats = accuracies[0] - accuracies[1]
    return differences


def rejections(experiments: Floats, test_share: float) -> float:
    """Share of the experiments whose difference is significant at 0.05."""
    return float(numpy.mean([compare(differences, test_share).p_value < 0.05 for differences in experiments]))


def test_learners_that_are_as_good_differ_at_most_at_the_level() -> None:
    differences = null_differences(samples=200, features=5, train_samples=140)
    corrected, uncorrected = rejections(differences, 60 / 140), rejections(differences, 0)
    print(f"false-positive rate: corrected {corrected:.3f}, uncorrected {uncorrected:.3f}, bound {HIGHEST_RATE:.4f}")
    assert corrected <= HIGHEST_RATE
    assert uncorrected > HIGHEST_RATE


def test_out_of_fold_results_of_equal_learners_differ_far_too_often() -> None:
    # With k folds, whose mean varies k times less than a fold does, the share 1 / (k - 1) becomes k / (k - 1).
    assert rejections(out_of_fold_differences(samples=60, features=5, folds=5), 5 / 4) > 3 * HIGHEST_RATE


@pytest.mark.parametrize("correlation", [0, 0.2 / 0.9])
def test_power_at_three_standard_deviations(correlation: float) -> None:
    generator = numpy.random.default_rng(0)
    shared, own = generator.normal(size=(EXPERIMENTS, 1)), generator.normal(size=(EXPERIMENTS, SPLITS))
    power = rejections(3 + sqrt(correlation) * shared + sqrt(1 - correlation) * own, test_share=0.2 / 0.7)
    print(f"power at 3 standard deviations, {SPLITS} seeds, correlation {correlation:.2f}: {power:.3f}")
    assert power >= 0.9
