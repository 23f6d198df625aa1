"""Prediction sets of several labels on made problems and against values computed by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from base.errors import InputError
from benchmarks.prediction_sets import plain_sets
from modules.evaluation.split_scores import SplitScores
from modules.losses import BinaryCrossEntropyLoss
from modules.multilabel.decision import LabelDecision
from modules.multilabel.prediction_sets import LabelPredictionSets


def made_labels(samples: int, shares: Tensor, margin: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Log odds and labels, (n, L), of the share of samples of each label; a fifth of the labels is not known.

    The evidence for a label is normal with variance `margin`, so that its log likelihood ratio is `margin` times the
    label plus the noise, less half of the margin.
    """
    labels = (torch.rand(samples, len(shares), generator=generator) < shares).long()
    noise = torch.randn(labels.shape, generator=generator) * math.sqrt(margin)
    log_odds = torch.logit(shares) + margin * labels + noise - margin / 2
    unknown = torch.rand(labels.shape, generator=generator) < 0.2
    return log_odds, labels.masked_fill(unknown, -1)


def covered(sets: LabelPredictionSets, log_odds: Tensor, labels: Tensor) -> tuple[float, int, float]:
    """Share of present labels that the sets hold, labels below half of the coverage, and the mean over labels."""
    members, present = sets.members(log_odds), labels == 1
    of_labels = (members & present).sum(0)[present.any(0)] / present.sum(0)[present.any(0)]
    share = float((members & present).sum() / present.sum())
    return share, int((of_labels < sets.coverage / 2).sum()), float(of_labels.mean())


def test_labels_are_covered_also_the_rare_ones_over_made_problems() -> None:
    found = []
    for seed in range(40):
        generator = torch.Generator().manual_seed(seed)
        size = int(torch.randint(5, 31, (), generator=generator))
        margin = float(torch.empty(()).uniform_(3, 12, generator=generator))
        shares = 0.3 * 100.0 ** (-torch.arange(size) / (size - 1))
        log_odds, labels = made_labels(800, shares, margin, generator)
        test = made_labels(3_000, shares, margin, generator)
        counts = (2_000 * shares).long()
        own = LabelPredictionSets.of_labels(log_odds, labels, counts, torch.logit(shares), 0.9)
        found.append([covered(sets, *test) for sets in (plain_sets(own, log_odds, labels == 1), own)])
    plain, ours = torch.tensor(found, dtype=torch.float64).unbind(1)
    print(f"present labels, labels below half, mean of labels\nplain {plain.mean(0)}\nours {ours.mean(0)}")
    assert abs(ours[:, 0].mean() - 0.9) < 0.02
    assert abs(plain[:, 0].mean() - 0.9) < 0.02
    assert ours[:, 1].sum() <= plain[:, 1].sum() / 2
    assert ours[:, 2].mean() > 0.88 > plain[:, 2].mean()


def test_sets_take_the_logits_of_the_head_whatever_prior_they_lack() -> None:
    generator = torch.Generator().manual_seed(3)
    shares = torch.tensor([0.4, 0.1, 0.02, 0.1])
    log_odds, labels = made_labels(500, shares, 6.0, generator)
    counts, known = torch.tensor([400, 100, 20, 0]), torch.tensor([1_000, 1_000, 900, 1_000])
    members = []
    for strength in (0.0, 1.0):
        loss = BinaryCrossEntropyLoss(logit_adjustment=strength)
        loss.build(known)
        decision = LabelDecision(counts, loss)
        logits = log_odds - strength * loss.log_odds(counts)
        order = torch.randperm(len(labels), generator=generator)
        scores = SplitScores(order, labels[order], logits[order], labels[order])
        members.append(decision.sets(scores, (), 0.8).members(logits))
    assert float((members[0] == members[1]).double().mean()) > 0.999
    share = float(members[0][:, :3][labels[:, :3] == 1].double().mean())
    assert share == pytest.approx(0.8, abs=0.03)
    # No training sample has the last label.
    assert not members[0][:, 3].any()


def test_without_a_quantile_the_sets_hold_all_labels() -> None:
    log_odds, counts = torch.randn(6, 2, generator=torch.Generator().manual_seed(0)), torch.tensor([5, 3])
    one = torch.zeros(6, 2)
    one[4, 1] = 1
    for labels in (torch.zeros(6, 2), torch.full((6, 2), -1), one, torch.eye(6)[:, :2]):
        sets = LabelPredictionSets.of_labels(log_odds, labels.long(), counts, torch.zeros(2), 0.9)
        assert sets.members(log_odds).all()


@pytest.mark.parametrize("coverage", [0.0, 1.0, math.nan])
def test_an_impossible_coverage_is_refused(coverage: float) -> None:
    with pytest.raises(InputError, match="coverage: expected a number above 0 and below 1"):
        LabelPredictionSets.of_labels(
            torch.zeros(2, 1), torch.ones(2, 1).long(), torch.ones(1), torch.zeros(1), coverage
        )
