"""What each objective promises, on samples that it was not chosen on."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
import torch

from base.errors import InputError
from modules.decisions.objectives import (
    Accuracy,
    AsTrained,
    BalancedAccuracy,
    CostMatrix,
    DecisionObjective,
    HeadKept,
    MacroF1,
    NamedRecall,
)
from modules.decisions.samples import DecisionSamples
from tests.modules.decisions.drawn_scores import (
    HEAD,
    made_decision,
    made_samples,
    made_scores,
    mean,
    recalls,
    with_prior,
)

OBJECTIVES: tuple[DecisionObjective, ...] = (
    BalancedAccuracy(),
    Accuracy(),
    MacroF1(),
    HeadKept(1.0),
    NamedRecall((3, 4), 0.8),
    CostMatrix(torch.ones(5, 5) - torch.eye(5)),
)


def predicted(samples: DecisionSamples, objective: DecisionObjective, fresh: DecisionSamples) -> torch.Tensor:
    return fresh.predicted(objective.choose(samples).offset)


@pytest.fixture(scope="module")
def samples() -> DecisionSamples:
    return made_samples(made_scores(2_000, seed=0))


@pytest.fixture(scope="module")
def fresh() -> DecisionSamples:
    return made_samples(made_scores(20_000, seed=1))


def test_each_objective_is_the_best_at_what_it_is_named_after(samples: DecisionSamples, fresh: DecisionSamples) -> None:
    by_objective = {type(one): predicted(samples, one, fresh) for one in OBJECTIVES[:3]}
    balanced = {cls: mean(recalls(own, fresh.labels)) for cls, own in by_objective.items()}
    accuracy = {cls: float((own == fresh.labels).double().mean()) for cls, own in by_objective.items()}
    assert max(balanced, key=lambda cls: balanced[cls]) is BalancedAccuracy
    assert max(accuracy, key=lambda cls: accuracy[cls]) is Accuracy
    assert balanced[BalancedAccuracy] > balanced[MacroF1] > balanced[Accuracy]
    assert accuracy[BalancedAccuracy] < accuracy[MacroF1] < accuracy[Accuracy]


def test_as_trained_changes_nothing(samples: DecisionSamples) -> None:
    choice = AsTrained().choose(samples)
    assert not choice.offset.any()
    assert choice.costs is None


@pytest.mark.parametrize("points", [0.5, 2.0, 5.0])
def test_the_head_is_kept_and_the_tail_gains(points: float, samples: DecisionSamples, fresh: DecisionSamples) -> None:
    kept = recalls(predicted(samples, HeadKept(points), fresh), fresh.labels)
    reference = recalls(fresh.at_prior, fresh.labels)
    assert mean([kept[code] for code in HEAD]) > mean([reference[code] for code in HEAD]) - points / 100 - 0.01
    assert mean(kept) > mean(reference)
    free = recalls(predicted(samples, BalancedAccuracy(), fresh), fresh.labels)
    assert mean([free[code] for code in HEAD]) < mean([reference[code] for code in HEAD]) - points / 100


def test_the_more_points_may_be_lost_the_better_the_balanced_accuracy(
    samples: DecisionSamples, fresh: DecisionSamples
) -> None:
    balanced = [mean(recalls(predicted(samples, HeadKept(points), fresh), fresh.labels)) for points in (0, 1, 3, 9)]
    assert balanced == sorted(balanced)


@pytest.mark.parametrize("least", [0.7, 0.8, 0.9])
def test_named_classes_reach_their_recall(least: float, samples: DecisionSamples, fresh: DecisionSamples) -> None:
    found = recalls(predicted(samples, NamedRecall((0,), least), fresh), fresh.labels)
    assert found[0] >= least - 0.01
    free = recalls(predicted(samples, BalancedAccuracy(), fresh), fresh.labels)
    assert mean(found) <= mean(free) + 1e-3
    assert found[0] == pytest.approx(max(free[0], least), abs=0.03)


def test_a_recall_out_of_reach_is_a_warning(caplog: pytest.LogCaptureFixture, samples: DecisionSamples) -> None:
    NamedRecall((3, 4), 1.0).choose(samples)
    assert "least: no decision has a recall of 1 on the scores" in caplog.text


@pytest.mark.parametrize("code", [3, 4])
def test_few_samples_that_are_all_found_are_a_warning_of_their_own(code: int, caplog: pytest.LogCaptureFixture) -> None:
    easy = made_samples(made_scores(300, margin=6.0))
    found = recalls(predicted(easy, NamedRecall((code,), 0.9), easy), easy.labels)
    assert found == [1.0] * 5
    few = (
        "least: the scores have too few samples of the named classes (7) to show a recall of 0.9 by one standard error"
    )
    assert (few in caplog.text) == (code == 4)
    assert len(caplog.records) == (code == 4)


def test_a_named_class_without_samples_is_a_warning_of_few(caplog: pytest.LogCaptureFixture) -> None:
    scores = made_scores(300)
    NamedRecall((4,), 0.9).choose(made_samples(scores.part((scores.labels != 4).nonzero().squeeze(1))))
    assert "least: the scores have too few samples of the named classes (0) to show a recall of 0.9" in caplog.text


@pytest.mark.parametrize("objective", OBJECTIVES, ids=lambda one: type(one).__name__)
def test_scores_with_and_without_the_prior_lead_to_the_same_predictions(objective: DecisionObjective) -> None:
    scores = made_scores(1_000)
    adjusted, plain = made_samples(scores), made_samples(with_prior(scores), logit_adjustment=0.0)
    labels = [predicted(own, objective, own) for own in (adjusted, plain)]
    assert float((labels[0] == labels[1]).double().mean()) > 0.998


@pytest.mark.parametrize("objective", OBJECTIVES, ids=lambda one: type(one).__name__)
def test_the_choice_depends_on_rows_and_not_on_their_order(objective: DecisionObjective) -> None:
    scores = made_scores(500)
    shuffled = scores.part(torch.randperm(500, generator=torch.Generator().manual_seed(3)))
    first, second = (objective.choose(made_samples(own)).offset for own in (scores, shuffled))
    assert torch.equal(first, second)


def test_few_samples_leave_the_decision_where_theory_puts_it() -> None:
    for seed in range(10):
        few = made_samples(made_scores(40, seed=seed, margin=1.0))
        for objective in (BalancedAccuracy(), Accuracy()):
            expected = few.offset(objective.start)
            found = objective.choose(few).offset
            assert float((found - expected).abs().max()) <= 3.0


def test_a_miscalibrated_strength_is_found_where_samples_show_it() -> None:
    scores = made_scores(5_000)
    priors = (made_decision().counts / made_decision().counts.sum()).log()
    # The logits claim to be without the prior and contain it once.
    wrong = replace(scores, logits=scores.logits + priors)
    samples = made_samples(wrong)
    before = mean(recalls(samples.predicted(samples.offset(0.0)), samples.labels))
    after = mean(recalls(samples.predicted(BalancedAccuracy().choose(samples).offset), samples.labels))
    assert after > before + 0.1


def test_a_single_class_and_a_single_sample_are_enough() -> None:
    scores = made_scores()
    for kept in (scores.labels == 0, torch.arange(len(scores.labels)) == 5):
        for objective in OBJECTIVES:
            assert objective.choose(made_samples(scores.part(kept))).offset.isfinite().all()


def test_points_and_recall_are_shares() -> None:
    with pytest.raises(InputError, match=r"^points: expected a number from 0 to 100, got -1\.0\.$"):
        HeadKept(-1.0)
    with pytest.raises(InputError, match=r"^least: expected a number from 0 to 1, got 1\.5\.$"):
        NamedRecall((0,), 1.5)


@pytest.mark.slow
def test_large_tables_are_decided_in_seconds() -> None:
    counts = (10_000 * 0.93 ** torch.arange(100)).long().clamp(min=5)
    scores = made_scores(100_000, counts=counts, margin=2.5)
    decision = made_decision(counts=counts)
    # Time of the processor, which other programs on the machine do not change.
    start = time.process_time()
    decision.choose(scores, Accuracy(), tuple(range(30)))
    assert time.process_time() - start < 15
