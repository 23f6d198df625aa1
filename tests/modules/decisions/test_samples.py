"""Strengths of the prior, folds, and the confusions at all strengths."""

from __future__ import annotations

import pytest
import torch

from tests.modules.decisions.drawn_scores import COUNTS, HEAD, made_decision, made_samples, made_scores, with_prior

PRIORS = (COUNTS / COUNTS.sum()).log()


def test_scores_at_a_strength_contain_that_much_of_the_prior_whatever_the_loss() -> None:
    scores = made_scores()
    adjusted, plain = made_samples(scores), made_samples(with_prior(scores), logit_adjustment=0.0)
    assert (adjusted.strength, plain.strength) == (0.0, 1.0)
    for strength in (-0.5, 0.0, 1.0, 2.0):
        expected = scores.in_order().logits + strength * PRIORS
        for samples in (adjusted, plain):
            torch.testing.assert_close(samples.scores + samples.offset(strength), expected)
    assert torch.equal(adjusted.at_prior, plain.at_prior)
    assert torch.equal(adjusted.at_prior, adjusted.predicted(adjusted.offset(1.0)))


@pytest.mark.parametrize("strength", [0.3, 1.0, 1.7])
def test_a_corrected_prior_is_not_removed_twice(strength: float) -> None:
    decision = made_decision(logit_adjustment=0.0)
    decision.logit_offset.copy_(-strength * PRIORS)
    samples = decision.samples(with_prior(made_scores()), HEAD)
    assert samples.strength == pytest.approx(1 - strength, abs=1e-5)
    torch.testing.assert_close(samples.scores + samples.offset(0.0), made_scores().in_order().logits)


def test_samples_of_unseen_classes_are_left_out_and_rows_are_in_order() -> None:
    counts = COUNTS.clone()
    counts[2] = 0
    scores = made_scores()
    samples = made_decision(counts=counts).samples(scores, HEAD)
    assert sorted(set(samples.labels.tolist())) == [0, 1, 3, 4]
    order = scores.rows.argsort()
    kept = order[scores.labels[order] != 2]
    assert torch.equal(samples.labels, scores.labels[kept])
    assert not (samples.predicted(samples.offset(0.0)) == 2).any()


def test_folds_share_each_class_evenly() -> None:
    samples = made_samples(made_scores())
    fold = samples.folds(7)
    for code in range(len(COUNTS)):
        sizes = torch.bincount(fold[samples.labels == code], minlength=7)
        assert int(sizes.max() - sizes.min()) <= 1


@pytest.mark.parametrize("seed", range(5))
def test_confusions_at_all_strengths_are_those_of_predictions_one_strength_at_a_time(seed: int) -> None:
    samples = made_samples(made_scores(seed=seed, margin=0.5))
    counts = samples.by_strength.total()
    for place, strength in enumerate(samples.strengths):
        predicted = samples.predicted(samples.offset(strength))
        for code in range(len(COUNTS)):
            own = samples.labels == code
            assert counts.support[0, code] == own.sum()
            assert counts.predicted[place, code] == (predicted == code).sum()
            assert counts.hits[place, code] == (own & (predicted == code)).sum()
