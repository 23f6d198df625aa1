"""Prediction sets on made problems and against values computed by hand."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from base.errors import InputError
from benchmarks.prediction_sets import plain_sets
from modules.decisions.samples import DecisionSamples
from modules.evaluation.prediction_sets import PredictionSets
from tests.modules.decisions.drawn_scores import COUNTS, made_decision, made_samples, made_scores, with_prior

_PROBLEMS = 200


def _problem(seed: int) -> tuple[DecisionSamples, Tensor, Tensor]:
    """Calibration samples, and scores and labels of 3,000 test samples, of a problem with 5 to 40 classes."""
    generator = torch.Generator().manual_seed(seed)
    size = int(torch.randint(5, 41, (), generator=generator))
    imbalance, margin = (float(torch.empty(()).uniform_(*ends, generator=generator)) for ends in ((10, 300), (1.5, 4)))
    counts = (2_000 * imbalance ** (-torch.arange(size) / (size - 1))).long()
    calibration = made_scores(int(torch.randint(300, 1_500, (), generator=generator)), seed, counts, margin)
    test = made_scores(3_000, seed + _PROBLEMS, counts, margin)
    decision = made_decision(counts=counts)
    return decision.samples(calibration, (0,)), decision.corrected(test.logits), test.labels


def _covered(sets: PredictionSets, scores: Tensor, labels: Tensor) -> tuple[float, int, float, float]:
    """Share of covered samples, classes below half of the coverage, mean coverage of classes and mean size of sets."""
    members = sets.members(scores)
    hit = members.gather(1, labels[:, None]).squeeze(1).double()
    of_classes = torch.stack([hit[labels == code].mean() for code in set(labels.tolist())])
    under = int((of_classes < sets.coverage / 2).sum())
    return float(hit.mean()), under, float(of_classes.mean()), float(members.sum(1).double().mean())


@pytest.mark.parametrize("coverage", [pytest.param(0.8, marks=pytest.mark.slow), 0.9])
def test_coverage_of_samples_and_of_rare_classes_over_made_problems(coverage: float) -> None:
    found = []
    for seed in range(_PROBLEMS):
        samples, scores, labels = _problem(seed)
        own = PredictionSets.fit(samples, coverage)
        present = functional.one_hot(samples.labels, len(samples.counts)).bool()
        both = (plain_sets(own, samples.scores, present), own)
        found.append([_covered(sets, scores, labels) for sets in both])
    plain, ours = torch.tensor(found, dtype=torch.float64).unbind(1)
    print(f"coverage {coverage}: samples, classes below half, classes, size")
    print(f"plain {plain.mean(0).tolist()}\nours  {ours.mean(0).tolist()}")
    assert abs(ours[:, 0].mean() - coverage) < 0.02
    assert ours[:, 1].sum() <= plain[:, 1].sum() / 2
    assert ours[:, 2].mean() > coverage - 0.02 > plain[:, 2].mean()


@pytest.mark.parametrize("coverage", [0.8, 0.9])
def test_few_calibration_samples_keep_the_coverage(coverage: float) -> None:
    """Twenty samples of eight classes: their quantiles jump where the held-out fold makes the samples fewer."""
    counts = torch.tensor([60, 39, 25, 16, 10, 7, 4, 3])
    decision = made_decision(counts=counts)
    found = []
    for seed in range(60):
        samples = decision.samples(made_scores(20, seed, counts, 3.0), (0,))
        test = made_scores(1_000, seed + _PROBLEMS, counts, 3.0)
        sets = PredictionSets.fit(samples, coverage)
        found.append(_covered(sets, decision.corrected(test.logits), test.labels)[0])
        own = sets.members(samples.scores).gather(1, samples.labels[:, None])
        assert int(own.sum()) >= coverage * len(own)
    assert sum(found) / len(found) > coverage


def test_sets_do_not_depend_on_the_prior_that_scores_contain() -> None:
    scores = made_scores(400)
    without = PredictionSets.fit(made_samples(scores), 0.9)
    within = PredictionSets.fit(made_samples(with_prior(scores), logit_adjustment=0.0), 0.9)
    first, second = without.members(scores.logits), within.members(with_prior(scores).logits)
    assert float((first == second).double().mean()) > 0.999


def test_fewer_samples_than_a_quantile_needs_give_sets_of_all_classes() -> None:
    samples = made_samples(made_scores(400))
    few = replace(samples, scores=samples.scores[:8], labels=samples.labels[:8], at_prior=samples.at_prior[:8])
    assert bool(PredictionSets.fit(few, 0.9).members(samples.scores).all())
    more = replace(samples, scores=samples.scores[::4], labels=samples.labels[::4], at_prior=samples.at_prior[::4])
    assert not bool(PredictionSets.fit(more, 0.9).members(samples.scores).all())


def test_a_class_without_training_samples_is_in_no_set() -> None:
    counts = COUNTS.clone()
    counts[4] = 0
    decision = made_decision(counts=counts)
    scores = made_scores(400)
    for coverage in (0.5, 0.999):
        members = PredictionSets.fit(decision.samples(scores, (0,)), coverage).members(
            decision.corrected(scores.logits)
        )
        assert not bool(members[:, 4].any())
        assert bool(members[:, :4].any())


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([0.5, 0.8, 0.95]))
def test_calibration_samples_are_covered_whatever_their_order(seed: int, coverage: float) -> None:
    samples = made_samples(made_scores(200, seed))
    sets = PredictionSets.fit(samples, coverage)
    covered = float(sets.members(samples.scores).gather(1, samples.labels[:, None]).double().mean())
    assert covered > coverage - 0.05
    assert math.isfinite(sets.temperature)
    assert PredictionSets.fit(samples, coverage).thresholds.equal(sets.thresholds)


@pytest.mark.parametrize("coverage", [0.0, 1.0, math.nan, -1.0])
def test_an_impossible_coverage_is_refused(coverage: float) -> None:
    with pytest.raises(InputError, match="coverage: expected a number above 0 and below 1"):
        PredictionSets.fit(made_samples(made_scores(400)), coverage)
