"""Metrics of a split whose samples have several labels."""

from __future__ import annotations

import math

import numpy
import pytest
import torch

from modules.evaluation.class_groups import ClassGroups
from modules.multilabel.calibration import LabelCalibration, log_loss
from modules.multilabel.label_scores import label_scores, micro_f1
from modules.multilabel.metrics import LabelMetrics
from tests.modules.multilabel.drawn_labels import draw

# The third label has no training sample.
COUNTS = torch.tensor([5, 40, 0, 12, 20])
SEEN = [0, 1, 3, 4]


def calibration(scale: float = 2.0, shift: float = 0.3) -> LabelCalibration:
    found = LabelCalibration(COUNTS)
    found.temperature.fill_(scale)
    found.shift.fill_(shift)
    return found


def test_means_are_over_the_labels_with_training_samples() -> None:
    shares, predicted, labels = draw(3)
    metrics = LabelMetrics(COUNTS, ClassGroups(0.3, 0.3))
    values, of_label = metrics.of_split(shares, labels, calibration(), predicted)
    scores = label_scores(shares, predicted, labels)
    for name, found in of_label.items():
        assert found[2].isnan()
        assert torch.equal(found[SEEN], scores[name][SEEN])
    means = {name: float(found[SEEN].mean()) for name, found in scores.items()}
    assert values["average_precision"] == pytest.approx(means["average_precision"])
    assert values["auroc"] == pytest.approx(means["auroc"])
    assert values["macro_f1"] == pytest.approx(means["f1"])
    assert values["balanced_accuracy"] == pytest.approx((means["recall"] + means["specificity"]) / 2)
    # Of five labels by count, 1, 4, 3, 0 and 2: two are head, one is middle, and the last two, of which one is seen.
    precision = scores["average_precision"].tolist()
    assert values["head_average_precision"] == pytest.approx((precision[1] + precision[4]) / 2)
    assert values["middle_average_precision"] == pytest.approx((precision[3] + precision[0]) / 2)
    assert values["tail_average_precision"].isnan()
    assert values["micro_f1"] == micro_f1(predicted[:, SEEN], labels[:, SEEN])
    assert values["nll"] == log_loss(shares[:, SEEN], labels[:, SEEN])
    assert values["calibrated_nll"] == log_loss(calibration()(shares)[:, SEEN], labels[:, SEEN])


def test_a_label_without_training_samples_changes_nothing() -> None:
    shares, predicted, labels = draw(4)
    metrics = LabelMetrics(COUNTS, ClassGroups())
    before, _ = metrics.of_split(shares, labels, calibration(), predicted)
    labels[:, 2], shares[:, 2] = 1, 0
    after, _ = metrics.of_split(shares, labels, calibration(), predicted)
    assert {name: float(value) for name, value in after.items()} == pytest.approx(
        {name: float(value) for name, value in before.items()}, nan_ok=True
    )


def test_the_log_loss_is_that_of_a_loop_over_the_known_entries() -> None:
    shares, _, labels = draw(5)
    # 0 and 1 would be infinite.
    shares = shares.clamp(0.05, 0.95)
    losses = [
        -math.log(share if label == 1 else 1 - share)
        for share, label in zip(shares.flatten().tolist(), labels.flatten().tolist(), strict=True)
        if label >= 0
    ]
    assert float(log_loss(shares, labels)) == pytest.approx(numpy.mean(losses), rel=1e-5)
    assert log_loss(shares, torch.full_like(labels, -1)).isnan()


def test_labels_above_one_half_are_predicted_by_default() -> None:
    shares, _, labels = draw(6)
    metrics = LabelMetrics(COUNTS, ClassGroups())
    given, _ = metrics.of_split(shares, labels, calibration(), (shares > 0.5).long())
    found, _ = metrics.of_split(shares, labels, calibration())
    assert {name: float(value) for name, value in found.items()} == pytest.approx(
        {name: float(value) for name, value in given.items()}, nan_ok=True
    )


def test_without_samples_all_metrics_are_nan() -> None:
    none = torch.zeros(0, 5)
    values, of_label = LabelMetrics(COUNTS, ClassGroups()).of_split(none, none.long(), calibration())
    assert all(value.isnan() for value in values.values())
    assert all(found.isnan().all() for found in of_label.values())


def test_labels_alone_have_the_metrics_that_need_no_probabilities() -> None:
    shares, predicted, labels = draw(5)
    labels[:, 2] = 1 - predicted[:, 2]
    metrics = LabelMetrics(COUNTS, ClassGroups())
    values, of_label = metrics.of_split(shares, labels, calibration(), predicted)
    found = metrics.of_labels(predicted, labels)
    expected = {name: values[name] for name in ("macro_f1", "micro_f1", "balanced_accuracy")}
    expected |= {name: of_label[name][SEEN].mean() for name in ("recall", "precision")}
    entries = [(labels[row, place], predicted[row, place]) for row in range(len(labels)) for place in SEEN]
    right = [int(own == truth) for truth, own in entries if truth >= 0]
    expected["accuracy"] = torch.tensor(sum(right) / len(right))
    torch.testing.assert_close(found, expected, check_dtype=False)
