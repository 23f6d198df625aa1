"""Utilities against scikit-learn, standard errors, and the choice of the nearest candidate."""

from __future__ import annotations

import pytest
import torch
from sklearn.metrics import accuracy_score, f1_score, recall_score

from modules.decisions.confusions import (
    Confusions,
    accuracy,
    balanced_accuracy,
    group_accuracy,
    macro_f1,
    nearest_of_the_best,
    standard_errors,
)

FOLDS = 20


def drawn(candidates: int = 3, samples: int = 300, classes: int = 4) -> tuple[list[torch.Tensor], torch.Tensor]:
    """Labels without class 3, and predictions that are right in growing shares."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(classes - 1, (samples,), generator=generator)
    guesses = torch.randint(classes, (candidates, samples), generator=generator)
    right = torch.rand(candidates, samples, generator=generator) < torch.linspace(0.3, 0.9, candidates)[:, None]
    return list(torch.where(right, labels, guesses)), labels


def counted(predicted: list[torch.Tensor], labels: torch.Tensor, classes: int = 4) -> Confusions:
    return Confusions.by_fold(predicted, labels, torch.arange(len(labels)) % FOLDS, FOLDS, classes)


def test_utilities_are_those_of_scikit_learn_over_the_classes_with_samples() -> None:
    predicted, labels = drawn()
    counts = counted(predicted, labels).total()
    for place, own in enumerate(predicted):
        recall = recall_score(labels, own, labels=[0, 1, 2], average=None)
        assert float(accuracy(counts)[place]) == pytest.approx(accuracy_score(labels, own))
        assert float(balanced_accuracy(counts)[place]) == pytest.approx(recall.mean())
        assert float(group_accuracy(counts, (1, 3))[place]) == pytest.approx(recall[1])
        expected = f1_score(labels, own, labels=[0, 1, 2], average="macro")
        assert float(macro_f1(counts)[place]) == pytest.approx(expected)


def test_without_each_leaves_out_one_fold_at_a_time() -> None:
    predicted, labels = drawn()
    folds = torch.arange(len(labels)) % FOLDS
    left = counted(predicted, labels).without_each()
    kept = folds != 4
    expected = Confusions.by_fold([own[kept] for own in predicted], labels[kept], folds[kept], FOLDS, 4).total()
    assert torch.equal(left.hits[4], expected.hits)
    assert torch.equal(left.predicted[4], expected.predicted)
    assert torch.equal(left.support[4], expected.support)


def test_the_standard_error_of_accuracy_is_that_of_paired_differences() -> None:
    predicted, labels = drawn(2, samples=4_000)
    found = standard_errors(accuracy, counted(predicted, labels), 0)
    assert float(found[0]) == 0.0
    gains = (predicted[1] == labels).double() - (predicted[0] == labels).double()
    # The jackknife over 20 groups of equal size, by hand: the standard error of the mean of the means of the groups.
    means = torch.stack([gains[torch.arange(4_000) % FOLDS == group].mean() for group in range(FOLDS)])
    assert float(found[1]) == pytest.approx(float(means.std() / FOLDS**0.5), rel=1e-6)
    assert float(found[1]) == pytest.approx(float(gains.std()) / 4_000**0.5, rel=0.5)


def test_the_nearest_is_taken_among_equals_and_the_best_where_samples_show_it() -> None:
    predicted, labels = drawn(3, samples=3_000)
    distances = torch.tensor([0.0, 1.0, 2.0])
    assert nearest_of_the_best(accuracy, counted(predicted, labels), distances) == 2
    almost = predicted[2].clone()
    almost[:2] = 3
    equal = [almost, predicted[2], predicted[2]]
    assert nearest_of_the_best(accuracy, counted(equal, labels), distances) == 0
    assert nearest_of_the_best(accuracy, counted(equal, labels), torch.tensor([2.0, 1.0, 0.0])) == 2
