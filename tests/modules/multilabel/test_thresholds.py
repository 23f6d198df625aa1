"""The thresholds of several labels."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from modules.multilabel.thresholds import choose_thresholds


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


def f1_sum(scores: Tensor, labels: Tensor, line: Tensor) -> float:
    places = range(len(line))
    return sum(f1_of(scores[:, place], labels[:, place], float(line[place])) for place in places)


def best_f1(scores: Tensor, labels: Tensor) -> float:
    """The best F1 of any threshold, by trying one below and one above each score."""
    return max(f1_of(scores, labels, float(score) + step) for score in scores for step in (-1e-4, 1e-4))


def drawn(samples: int, labels: int = 3) -> tuple[Tensor, Tensor, Tensor]:
    """Scores, labels and prior of labels of which each is more frequent than the next."""
    generator = torch.Generator().manual_seed(0)
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


def test_what_is_not_known_changes_nothing() -> None:
    scores, labels, prior = drawn(100)
    changed = scores.masked_fill(labels == -1, 9.0)
    assert torch.equal(choose_thresholds(changed, labels, prior), choose_thresholds(scores, labels, prior))
