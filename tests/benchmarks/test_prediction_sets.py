"""Sets with the one threshold of plain conformal prediction, against values computed by hand."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from benchmarks.prediction_sets import plain_sets
from modules.evaluation.prediction_sets import PredictionSets
from modules.multilabel.prediction_sets import LabelPredictionSets
from tests.modules.decisions.drawn_scores import COUNTS, made_samples, made_scores


def test_plain_sets_have_one_threshold_by_hand() -> None:
    samples = made_samples(made_scores(400))
    present = functional.one_hot(samples.labels, 5).bool()
    sets = plain_sets(PredictionSets.fit(samples, 0.9), samples.scores, present)
    prior = (COUNTS / COUNTS.sum()).log()
    found = ((samples.scores + prior) / sets.temperature).log_softmax(1)
    own = sorted(float(row[label]) for row, label in zip(found, samples.labels, strict=True))
    # 401 * 0.1 = 40.1, so the 40th smallest.
    torch.testing.assert_close(sets.thresholds, torch.full((5,), own[39]))
    assert sets.strength == 0
    assert int(sets.members(samples.scores).gather(1, samples.labels[:, None]).sum()) == 361


def test_plain_sets_have_the_quantile_of_all_present_labels() -> None:
    log_odds = torch.tensor([[3.0, -1.0], [1.0, 2.0], [-2.0, 0.5], [4.0, -4.0], [9.0, -9.0]])
    labels = torch.tensor([[1, 0], [1, 1], [0, 1], [-1, 0], [0, 0]])
    counts = torch.tensor([9, 9])
    own = LabelPredictionSets.of_labels(log_odds, labels, counts, torch.zeros(2), 0.5)
    sets = plain_sets(own, log_odds, labels == 1)
    # Present are 0.5, 1, 2 and 3; of them (4 + 1) / 2 are not above the quantile, which is the second.
    assert sets.thresholds.tolist() == pytest.approx([1.0 / sets.temperature] * 2)
    assert sets.members(log_odds).tolist() == [
        [True, False],
        [True, True],
        [False, False],
        [True, False],
        [True, False],
    ]
    assert sets.codes(log_odds) == [[0], [1, 0], [], [0], [0]]
