"""Scores of labels on resamples, against scikit-learn on the drawn rows, and their intervals."""

from __future__ import annotations

import math
from typing import Any

import numpy
import pytest
import torch
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, balanced_accuracy_score, f1_score, roc_auc_score

from modules.evaluation.group_names import Group
from modules.multilabel.label_scores import label_scores, micro_f1
from reports.analysis.intervals import RESAMPLES, wilson
from reports.analysis.label_intervals import (
    LabelPredictions,
    difference,
    draw_resamples,
    estimate,
    label_estimates,
    mean_scores,
    number_of_resamples,
    weighted_scores,
)
from reports.analysis.label_results import compare_labels

GROUPS: tuple[Group, ...] = ("head", "middle", "tail", "tail", "tail")


def drawn(rows: int = 40, ties: int = 6) -> tuple[NDArray[Any], LabelPredictions]:
    """Labels of which a fifth is not known, and scores with ties; no row has the last label."""
    generator = numpy.random.default_rng(0)
    labels = generator.choice([-1, 0, 1], (rows, 5), p=[0.2, 0.5, 0.3])
    labels[:, 3] = numpy.where(numpy.arange(rows) == 7, 1, 0)
    labels[:, 4] = numpy.minimum(labels[:, 4], 0)
    scores = generator.integers(0, ties, (rows, 5)) / ties
    return labels, LabelPredictions(scores, scores > 0.5)


def test_weights_are_the_numbers_of_drawn_rows() -> None:
    labels, found = drawn()
    weights = draw_resamples(numpy.arange(40) // 2, 30)
    assert (weights[:, 0] == 1).all()
    assert (weights[::2] == weights[1::2]).all()
    assert (weights.sum(axis=0) == 40).all()
    values = weighted_scores(labels, found, weights)
    empty = 0
    for case in range(31):
        rows = numpy.repeat(numpy.arange(40), weights[:, case].astype(int))
        for label in range(5):
            known = rows[labels[rows, label] >= 0]
            true, scores, predicted = (of[known, label] for of in (labels, found.scores, found.predicted))
            ranks = 0 < true.sum() < len(true)
            empty += not ranks
            for name, score in (("average_precision", average_precision_score), ("auroc", roc_auc_score)):
                expected = score(true, scores) if ranks else numpy.nan
                assert values[name][label, case] == pytest.approx(expected, nan_ok=True, abs=1e-9)
            expected = balanced_accuracy_score(true, predicted) if ranks else numpy.nan
            assert values["balanced_accuracy"][label, case] == pytest.approx(expected, nan_ok=True)
            expected = f1_score(true, predicted) if true.sum() else numpy.nan
            assert values["f1"][label, case] == pytest.approx(expected, nan_ok=True)
        own = labels[rows] >= 0
        assert values["micro_f1"][case] == pytest.approx(f1_score(labels[rows][own], found.predicted[rows][own]))
    # The fourth label is in some resamples alone.
    assert 31 < empty < 62


def test_the_first_case_has_the_scores_of_the_metrics() -> None:
    labels, found = drawn()
    values = weighted_scores(labels, found, draw_resamples(numpy.arange(40), 1))
    given = (torch.from_numpy(found.scores).float(), torch.from_numpy(found.predicted).long(), torch.from_numpy(labels))
    expected = label_scores(*given)
    for name in ("average_precision", "auroc", "f1"):
        assert values[name][:, 0] == pytest.approx(expected[name].numpy(), nan_ok=True, abs=1e-6)
    balanced = (expected["recall"] + expected["specificity"]) / 2
    assert values["balanced_accuracy"][:, 0] == pytest.approx(balanced.numpy(), nan_ok=True, abs=1e-6)
    assert values["micro_f1"][0] == pytest.approx(float(micro_f1(given[1], given[2])), abs=1e-6)


def test_a_mean_leaves_out_labels_without_a_score_case_by_case() -> None:
    precisions = numpy.array([[0.5, 0.2], [0.1, numpy.nan], [0.3, 0.4], [numpy.nan, 0.6], [numpy.nan, numpy.nan]])
    of_label = dict.fromkeys(("average_precision", "auroc", "f1", "balanced_accuracy"), precisions)
    means = mean_scores({**of_label, "micro_f1": numpy.array([0.7, 0.8])}, GROUPS)
    assert means["average_precision"] == pytest.approx([0.3, 0.4])
    assert means["head_average_precision"] == pytest.approx([0.5, 0.2])
    assert means["middle_average_precision"] == pytest.approx([0.1, numpy.nan], nan_ok=True)
    assert means["tail_average_precision"] == pytest.approx([0.3, 0.5])
    assert means["micro_f1"].tolist() == [0.7, 0.8]


def test_an_interval_is_moved_to_the_score_and_stays_between_0_and_1() -> None:
    values = numpy.append(0.5, numpy.linspace(0.4, 0.8, 401))
    one = estimate(values, 9)
    assert (one.value, one.low, one.high, one.samples) == pytest.approx((0.5, 0.31, 0.69, 9))
    assert estimate(numpy.append(0.9, numpy.linspace(0.5, 0.9, 401)), 9).high == 1


def test_few_samples_leave_a_difference_open() -> None:
    ours, theirs = numpy.linspace(0.6, 0.7, 41), numpy.full(41, 0.5)
    assert difference(ours, theirs, 30, 6).is_clear
    assert not difference(ours, theirs, 30, 5).is_clear
    assert difference(theirs, theirs, 30, 30).low == 0


def test_labels_with_few_samples_have_no_interval() -> None:
    values = numpy.tile(numpy.linspace(0.4, 0.6, 41), (3, 1))
    values[2] = numpy.nan
    few, enough, none = label_estimates(values, numpy.array([5, 6, 0]))
    assert numpy.isnan(few.low)
    assert few.value == 0.4
    assert enough.low < enough.value < enough.high
    assert numpy.isnan(none.value)


def test_labels_that_training_never_had_are_in_no_mean() -> None:
    labels, found = drawn()
    training = numpy.array([9, 0, 3, 1, 1])
    one = compare_labels(labels, found, found, numpy.arange(40), training, GROUPS, 20)
    scores = [
        average_precision_score(labels[labels[:, label] >= 0, label], found.scores[labels[:, label] >= 0, label])
        for label in (0, 2, 3)
    ]
    assert one.model.means["average_precision"].value == pytest.approx(numpy.mean(scores))
    assert numpy.isnan(one.model.average_precision[1].value)
    assert numpy.isnan(one.model.recall[1])
    assert one.model.positive[1] == (labels[:, 1] == 1).sum() > 0
    kept = labels[:, [0, 2, 3, 4]]
    known = kept >= 0
    expected = f1_score(kept[known], found.predicted[:, [0, 2, 3, 4]][known])
    assert one.model.means["micro_f1"].value == pytest.approx(expected)
    assert all(gain.value == 0 for name, gain in one.differences.items() if name != "middle_average_precision")
    assert numpy.isnan(one.differences["middle_average_precision"].value)


def test_counts_and_shares_of_labels() -> None:
    labels = numpy.array([[1, -1], [1, 0], [0, 1], [0, -1], [-1, 1]])
    predicted = numpy.array([[1, 0], [0, 0], [1, 1], [0, 1], [1, 0]], dtype=bool)
    found = LabelPredictions(predicted.astype(float), predicted)
    model = compare_labels(labels, found, found, numpy.arange(5), numpy.array([3, 2]), ("head", "tail"), 5).model
    assert model.positive.tolist() == [2, 2]
    assert model.negative.tolist() == [2, 1]
    assert model.precision.tolist() == [0.5, 1]
    assert model.recall.tolist() == [0.5, 0.5]
    assert model.shares == pytest.approx([1 / 2, 2 / 3])
    assert model.means["average_precision"].samples == 5


def test_rows_of_a_sample_are_one_trial_of_a_recall() -> None:
    labels = numpy.repeat([[1, 0], [1, 0], [0, 1]], 4, axis=0)
    predicted = numpy.repeat([[True, False], [False, False], [False, True]], 4, axis=0)
    found = LabelPredictions(predicted.astype(float), predicted)
    samples = numpy.repeat(numpy.arange(3), 4)
    model = compare_labels(labels, found, found, samples, numpy.array([3, 2]), ("head", "tail"), 5).model
    low, high = wilson(numpy.array([1, 1]), numpy.array([2, 1]))
    assert (model.recall_low.tolist(), model.recall_high.tolist()) == (low.tolist(), high.tolist())
    # Eight rows of two samples are too few for an interval.
    assert math.isnan(model.average_precision[0].low)


def test_large_tests_have_fewer_resamples() -> None:
    assert number_of_resamples(1_500, 12) == RESAMPLES
    assert number_of_resamples(20_000, 1_000) < RESAMPLES
    assert number_of_resamples(0, 12) == RESAMPLES
