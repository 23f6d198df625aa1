"""The thresholds of several labels."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from modules.decisions.label_thresholds import choose_thresholds, recall_threshold
from modules.decisions.objectives import Accuracy, BalancedAccuracy, LabelObjective, MacroF1, NamedRecall

OBJECTIVES = (MacroF1(), BalancedAccuracy(), Accuracy(), NamedRecall((0, 2), 0.6))


def grid(prior: Tensor) -> list[Tensor]:
    """The lines that the thresholds of rare labels are drawn to."""
    shifts = torch.linspace(-5, 5, 101)
    return [shift + slope * prior for slope in (0.0, 0.25, 0.5, 0.75, 1.0) for shift in shifts]


def f1_of(scores: Tensor, labels: Tensor, threshold: float) -> float:
    known = labels >= 0
    pairs = list(zip((labels[known] == 1).tolist(), (scores[known] > threshold).tolist(), strict=True))
    hits = sum(has and chosen for has, chosen in pairs)
    either = sum(has + chosen for has, chosen in pairs)
    return 2 * hits / either if either else 0.0


def worth(objective: LabelObjective, scores: Tensor, labels: Tensor, threshold: float) -> tuple[float | None, int]:
    """What a threshold of a label is worth, None if it cannot be judged, and the samples that the choice rests on."""
    known = labels >= 0
    pairs = list(zip((labels[known] == 1).tolist(), (scores[known] > threshold).tolist(), strict=True))
    has, has_not = sum(positive for positive, _ in pairs), sum(not positive for positive, _ in pairs)
    if isinstance(objective, MacroF1):
        return (f1_of(scores, labels, threshold) if has else None), has
    if isinstance(objective, Accuracy):
        return (float(sum(positive == chosen for positive, chosen in pairs)) if pairs else None), min(has, has_not)
    if not has or not has_not:
        return None, 0
    recall = sum(positive and chosen for positive, chosen in pairs) / has
    specificity = sum(not positive and not chosen for positive, chosen in pairs) / has_not
    return (recall + specificity) / 2, min(has, has_not)


def f1_sum(scores: Tensor, labels: Tensor, line: Tensor) -> float:
    places = range(len(line))
    return sum(f1_of(scores[:, place], labels[:, place], float(line[place])) for place in places)


def best_f1(scores: Tensor, labels: Tensor) -> float:
    """The best F1 of any threshold, by trying one below and one above each score."""
    return max(f1_of(scores, labels, float(score) + step) for score in scores for step in (-1e-4, 1e-4))


def drawn(samples: int, labels: int = 3, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Scores, labels and prior of labels of which each is more frequent than the next."""
    generator = torch.Generator().manual_seed(seed)
    prior = -1.0 - torch.arange(labels)
    logits = prior + 2 * torch.randn(samples, labels, generator=generator)
    entries = torch.bernoulli(logits.sigmoid(), generator=generator).long()
    unknown = torch.rand(samples, labels, generator=generator) < 0.2
    return logits + torch.randn(samples, labels, generator=generator), entries.masked_fill(unknown, -1), prior


def test_one_label_by_hand() -> None:
    # The two samples with the label are the first two, so any threshold from 1 to 2 is perfect. The middle of those of
    # the grid is 1.5, which is its own best threshold too, half-way between the scores.
    scores, labels = torch.tensor([[3.0], [2.0], [1.0], [0.0]]), torch.tensor([[1], [1], [0], [0]])
    found = choose_thresholds(scores, labels, torch.zeros(1))
    # All slopes give the same line where the prior is 0.
    assert float(found) == pytest.approx(1.5, abs=0.06)


def test_a_label_takes_the_way_from_the_line_to_its_own_threshold_that_its_samples_allow() -> None:
    # The common line separates the first label; 30 samples have it, one has the second.
    scores = torch.full((40, 2), -4.0)
    labels = torch.zeros(40, 2, dtype=torch.int64)
    scores[:30, 0], labels[:30, 0] = 4.0, 1
    scores[0, 1], labels[0, 1] = 4.5, 1
    scores[1:, 1] = 3.5
    prior = torch.tensor([0.0, 0.0])
    found = choose_thresholds(scores, labels, prior)
    lines = grid(prior)
    means = torch.tensor([f1_sum(scores, labels, line) for line in lines])
    best = torch.nonzero(means == means.max()).flatten()
    line = lines[int(best[len(best) // 2])]
    # Half-way between the scores of samples with and without the label.
    own = torch.tensor([0.0, 4.0])
    share = torch.tensor([30 / 40, 1 / 11])
    torch.testing.assert_close(found, line + share * (own - line))
    assert 3.5 <= float(line[1]) < 4.0


def test_a_label_with_many_samples_has_its_best_threshold() -> None:
    scores, labels, prior = drawn(4_000)
    found = choose_thresholds(scores, labels, prior)
    has = (labels == 1).sum(dim=0).tolist()
    for place, threshold in enumerate(found.tolist()):
        own = scores[:, place][labels[:, place] >= 0].sort().values
        truth = labels[:, place][labels[:, place] >= 0]
        candidates = (own[1:] + own[:-1]) / 2
        order = scores[:, place][labels[:, place] >= 0].argsort()
        hits = (truth[order] == 1).flip(0).cumsum(0).flip(0)[1:]
        chosen = torch.arange(len(own) - 1, 0, -1)
        brute = float((2 * hits / (chosen + has[place])).max())
        assert f1_of(scores[:, place], labels[:, place], threshold) >= brute - 0.01
        assert float(candidates.min()) < threshold < float(candidates.max())


@pytest.mark.parametrize("samples", [30, 120])
def test_thresholds_follow_the_definition(samples: int) -> None:
    scores, labels, prior = drawn(samples)
    scores = (scores * 4).round() / 4
    has = (labels == 1).sum(dim=0)
    used = [place for place in range(3) if has[place] > 0]
    lines = grid(prior)
    means = [f1_sum(scores[:, used], labels[:, used], line[used]) for line in lines]
    best = [line for line, mean in zip(lines, means, strict=True) if mean > max(means) - 1e-9]
    line = best[len(best) // 2]
    found = choose_thresholds(scores, labels, prior)
    for place in range(3):
        if place not in used:
            assert float(found[place]) == pytest.approx(float(line[place]))
            continue
        share = float(has[place]) / (float(has[place]) + 10)
        own = float(line[place]) + (float(found[place]) - float(line[place])) / share
        assert f1_of(scores[:, place], labels[:, place], own) == pytest.approx(
            best_f1(scores[:, place], labels[:, place])
        )


def test_a_label_that_no_sample_has_is_on_the_line() -> None:
    scores, labels, prior = drawn(200)
    labels[:, 1] = 0
    alone = choose_thresholds(scores[:, [0, 2]], labels[:, [0, 2]], prior[[0, 2]])
    found = choose_thresholds(scores, labels, prior)
    assert torch.equal(found[[0, 2]], alone)
    assert any(float(found[1]) == pytest.approx(float(line[1])) for line in grid(prior))


def test_without_any_label_all_thresholds_are_0() -> None:
    labels = torch.tensor([[0, -1], [0, 0]])
    assert choose_thresholds(torch.randn(2, 2), labels, torch.tensor([-3.0, -1.0])).tolist() == [0.0, 0.0]
    assert choose_thresholds(torch.zeros(0, 2), labels[:0], torch.tensor([-3.0, -1.0])).tolist() == [0.0, 0.0]


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_what_is_not_known_changes_nothing(objective: LabelObjective) -> None:
    scores, labels, prior = drawn(100)
    changed = scores.masked_fill(labels == -1, 9.0)
    assert torch.equal(objective.thresholds(changed, labels, prior), objective.thresholds(scores, labels, prior))


@pytest.mark.parametrize("objective", OBJECTIVES[:3])
@given(seed=st.integers(0, 1000), samples=st.integers(1, 25))
@settings(max_examples=8)
def test_no_other_thresholds_are_better(objective: LabelObjective, seed: int, samples: int) -> None:
    scores, labels, prior = drawn(samples, seed=seed)
    scores = (scores * 2).round() / 2
    found, places = objective.thresholds(scores, labels, prior), range(3)

    def worths(line: Tensor) -> list[float | None]:
        return [worth(objective, scores[:, one], labels[:, one], float(line[one]))[0] for one in places]

    judged = [one for one in places if worths(prior)[one] is not None]
    if not judged:
        assert found.tolist() == [0.0] * 3
        return
    lines = grid(prior)
    means = [sum(value for value in worths(line) if value is not None) for line in lines]
    best = [line for line, mean in zip(lines, means, strict=True) if mean > max(means) - 1e-6]

    def explains(line: Tensor) -> bool:
        """Whether each threshold is as far as its samples allow on the way from the line to the best one."""
        for one in places:
            scored, entries = scores[:, one], labels[:, one]
            support = worth(objective, scored, entries, 0.0)[1]
            if one not in judged or support == 0:
                if float(found[one]) != pytest.approx(float(line[one]), abs=1e-5):
                    return False
                continue
            own = float(line[one]) + (float(found[one]) - float(line[one])) * (support + 10) / support
            tried = [
                worth(objective, scored, entries, float(score) + step)[0] for score in scored for step in (-0.1, 0.1)
            ]
            if worth(objective, scored, entries, own)[0] != pytest.approx(max(value or 0.0 for value in tried)):
                return False
        return True

    assert any(explains(line) for line in best)


def test_accuracy_and_balanced_accuracy_by_hand() -> None:
    # Of a hundred samples, the one with the highest score has not the label, and the next ten have it.
    scores = torch.cat([torch.tensor([9.0]), torch.full((10,), 5.0), torch.full((89,), 0.0)])[:, None]
    labels = torch.zeros(100, 1, dtype=torch.int64)
    labels[1:11] = 1
    prior = torch.zeros(1)
    # A threshold from 0 to 5 has one error. The middle of those of the grid is 2.4 or 2.5, and 2.5 is half-way.
    for objective in (Accuracy(), BalancedAccuracy()):
        assert float(objective.thresholds(scores, labels, prior)) == pytest.approx(2.5, abs=0.06)
    # Seven of the ten and 31 samples without the label now share a score. For accuracy 7 hits more are not worth 31
    # alarms more, for balanced accuracy 7 of 10 are worth 31 of 90.
    scores[4:42] = 3.0
    entries, chosen = labels[:, 0] == 1, {}
    for objective in (Accuracy(), BalancedAccuracy()):
        above = scores[:, 0] > float(objective.thresholds(scores, labels, prior))
        chosen[type(objective)] = int((above & entries).sum()), int((above & ~entries).sum())
    assert chosen == {Accuracy: (3, 1), BalancedAccuracy: (10, 32)}


@given(
    entries=st.lists(st.tuples(st.integers(-4, 4), st.booleans()), max_size=12),
    least=st.one_of(st.floats(0, 1), st.integers(0, 12).map(lambda number: number / 12)),
)
def test_a_recall_has_the_highest_threshold_that_is_enough(entries: list[tuple[int, bool]], least: float) -> None:
    entries = [*entries, (0, True)]
    scores = torch.tensor([float(score) for score, _ in entries])
    threshold = float(recall_threshold(scores, torch.tensor([has for _, has in entries]), least))

    def recall(bound: float) -> float:
        return sum(has and score > bound for score, has in entries) / sum(has for _, has in entries)

    assert recall(threshold) >= least
    above = [score for score, _ in entries if score > threshold]
    # One that predicts fewer samples is not enough.
    assert not above or recall(min(above)) < least


def test_a_threshold_between_neighboring_numbers_is_the_lower_one() -> None:
    scores = torch.tensor([3.0, 3.0])
    scores[1] = torch.nextafter(scores[0], torch.tensor(0.0))
    assert recall_threshold(scores, torch.tensor([True, False]), 1.0) == scores[1]


def test_named_labels_get_their_recall_and_others_the_thresholds_of_macro_f1(caplog: pytest.LogCaptureFixture) -> None:
    scores, labels, prior = drawn(200)
    plain = choose_thresholds(scores, labels, prior)
    for least in (0.5, 0.9, 1.0):
        found = NamedRecall((1,), least).thresholds(scores, labels, prior)
        assert torch.equal(found[[0, 2]], plain[[0, 2]])
        own = scores[labels[:, 1] == 1, 1]
        assert float((own > found[1]).double().mean()) >= least
        assert float((own > found[1]).double().mean()) - 1 / len(own) < least
    NamedRecall((1,)).warn_of_missing(labels)
    assert not caplog.records
    labels[:, 2] = 0
    found = NamedRecall((1, 2)).thresholds(scores, labels, prior)
    assert found[2] == choose_thresholds(scores, labels, prior)[2]
    NamedRecall((1, 2)).warn_of_missing(labels)
    assert "classes: 1 of the labels have no sample among the scores" in caplog.text
