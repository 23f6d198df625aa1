import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from modules import class_difficulty as module
from modules.class_difficulty import confusion_rate, difficulty_weights, neighbor_overlap, relative_spread


def draw(counts: list[int], seed: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    labels = labels[torch.randperm(len(labels), generator=generator)]
    return torch.randn(len(labels), 3, generator=generator), labels


def overlap_in_a_loop(embeddings: Tensor, labels: Tensor, num_classes: int, neighbors: int) -> list[float]:
    unit = torch.nn.functional.normalize(embeddings, dim=1)
    shares: list[list[float]] = [[] for _ in range(num_classes)]
    for row, own in enumerate(labels.tolist()):
        others = sorted(
            (other for other in range(len(labels)) if other != row), key=lambda o: -float(unit[row] @ unit[o])
        )
        nearest = others[: min(neighbors, int((labels == own).sum()) - 1)]
        if nearest:
            shares[own].append(sum(int(labels[other]) != own for other in nearest) / len(nearest))
    means = [sum(values) / len(values) if values else math.nan for values in shares]
    known = [value for value in means if not math.isnan(value)]
    others_mean = sum(known) / len(known) if known else 0.0
    present = set(labels.tolist())
    return [others_mean if math.isnan(m) and c in present else m for c, m in enumerate(means)]


@settings(max_examples=30, deadline=None)
@given(
    counts=st.lists(st.integers(0, 9), min_size=1, max_size=4).filter(any),
    neighbors=st.integers(1, 6),
    seed=st.integers(0, 1_000),
)
def test_overlap_equals_a_loop(counts: list[int], neighbors: int, seed: int) -> None:
    embeddings, labels = draw(counts, seed)
    expected = torch.tensor(overlap_in_a_loop(embeddings, labels, len(counts), neighbors))
    found = neighbor_overlap(embeddings, labels, len(counts), neighbors)
    torch.testing.assert_close(found, expected, equal_nan=True)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1_000))
def test_measures_are_equivariant_to_the_order_of_samples_and_classes(seed: int) -> None:
    embeddings, labels = draw([9, 0, 5, 3], seed)
    generator = torch.Generator().manual_seed(seed)
    rows, classes = torch.randperm(17, generator=generator), torch.randperm(4, generator=generator)
    for measure in (neighbor_overlap, relative_spread):
        plain = measure(embeddings, labels, 4)
        again = measure(3 * embeddings[rows], classes[labels[rows]], 4)
        torch.testing.assert_close(again[classes], plain, equal_nan=True)


def test_a_class_inside_another_overlaps_and_a_separate_one_does_not() -> None:
    generator = torch.Generator().manual_seed(0)
    large, small = torch.randn(300, 8, generator=generator), torch.randn(20, 8, generator=generator)
    apart = torch.full((30, 8), 3.0) + 0.01 * torch.randn(30, 8, generator=generator)
    labels = torch.tensor([0] * 300 + [1] * 20 + [2] * 30)
    overlap = neighbor_overlap(torch.cat([large, small, apart]), labels, 3)
    assert overlap[0] < 0.2
    assert overlap[1] > 0.8
    assert overlap[2] == 0
    weights = difficulty_weights(overlap[:2])
    assert weights[1] / weights[0] > 1.2


def test_fewer_queries_change_the_result_little_and_blocks_not_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(0)
    labels = torch.tensor([0] * 2_000 + [1] * 600 + [2] * 30)
    embeddings = torch.randn(3, 16, generator=generator)[labels] + torch.randn(2_630, 16, generator=generator)
    monkeypatch.setattr(module, "MAX_QUERIES", 10_000)
    exact = neighbor_overlap(embeddings, labels, 3)
    monkeypatch.setattr(module, "_BLOCK", 700)
    torch.testing.assert_close(neighbor_overlap(embeddings, labels, 3), exact)
    monkeypatch.setattr(module, "MAX_QUERIES", 300)
    drawn = neighbor_overlap(embeddings, labels, 3)
    assert not torch.equal(drawn, exact)
    # Every sample of the rare class is asked, among all of the others.
    assert drawn[2] == pytest.approx(float(exact[2]))
    torch.testing.assert_close(drawn, exact, atol=0.08, rtol=0.0)
    assert torch.equal(drawn, neighbor_overlap(embeddings, labels, 3))


def test_draws_have_the_requested_sizes() -> None:
    classes = torch.tensor([0] * 50 + [1] * 3 + [3] * 20)
    drawn = module._draw(classes, torch.tensor([7, 7, 7, 20]), 0)
    assert torch.bincount(classes[drawn], minlength=4).tolist() == [7, 3, 0, 20]
    assert drawn.tolist() == sorted(set(drawn.tolist()))


def test_relative_spread_by_hand() -> None:
    # Unit vectors at 90 degrees: class 0 at (1, 0) and (0, 1), class 1 at (-1, 0) twice.
    embeddings = torch.tensor([[2.0, 0.0], [0.0, 5.0], [-1.0, 0.0], [-3.0, 0.0]])
    labels = torch.tensor([0, 0, 2, 2])
    distance, spread = math.hypot(1.5, 0.5), math.hypot(0.5, 0.5) * math.sqrt(2)
    expected = torch.tensor([spread / (spread + distance), math.nan, 0.0])
    torch.testing.assert_close(relative_spread(embeddings, labels, 3), expected, equal_nan=True)
    assert relative_spread(torch.ones(4, 2), torch.tensor([0, 0, 1, 1]), 2).tolist() == [0.5, 0.5]
    assert relative_spread(embeddings, torch.zeros(4, dtype=torch.int64), 1).tolist() == [0.0]
    # A class of one sample is as difficult as the others are in the mean, and one half if all have one.
    alone = relative_spread(torch.cat([embeddings, embeddings[:1] + embeddings[1:2]]), torch.tensor([0, 0, 2, 2, 1]), 3)
    assert alone[1] == pytest.approx(float(alone[[0, 2]].mean()))
    assert alone[0] > 0
    assert relative_spread(embeddings[:2], torch.tensor([0, 1]), 2).tolist() == [0.5, 0.5]


@pytest.mark.parametrize("seed", range(4))
def test_rounding_errors_of_collapsed_embeddings_make_no_class_more_difficult(seed: int) -> None:
    one = torch.randn(16, generator=torch.Generator().manual_seed(seed))
    labels = torch.arange(4).repeat_interleave(torch.tensor([50, 7, 3, 1]))
    assert relative_spread(one.repeat(len(labels), 1), labels, 4).tolist() == [0.5] * 4


def test_confusion_rate_by_hand() -> None:
    confusion = torch.tensor([[3.0, 1.0, 0.0], [0.5, 0.5, 0.0], [0.0, 0.0, 0.0]])
    torch.testing.assert_close(confusion_rate(confusion), torch.tensor([0.25, 0.5, math.nan]), equal_nan=True)
    with pytest.raises(ValueError, match=r"confusion: expected shape \(C, C\), got \(2, 3\)"):
        confusion_rate(torch.ones(2, 3))


def test_weights_by_hand() -> None:
    difficulty = torch.tensor([0.0, math.log(3.0), math.nan])
    torch.testing.assert_close(difficulty_weights(difficulty), torch.tensor([0.25, 0.75, 0.0]))
    torch.testing.assert_close(difficulty_weights(difficulty, 2.0), torch.tensor([0.1, 0.9, 0.0]))
    torch.testing.assert_close(difficulty_weights(difficulty, 0.0), torch.tensor([0.5, 0.5, 0.0]))
    assert difficulty_weights(torch.tensor([math.nan])).tolist() == [0.0]


def test_invalid_arguments_are_named() -> None:
    embeddings, labels = draw([4, 4], 0)
    with pytest.raises(ValueError, match="neighbors: expected 1 or more, got 0"):
        neighbor_overlap(embeddings, labels, 2, neighbors=0)
    with pytest.raises(ValueError, match="strength: expected a finite number of 0 or more, got -1"):
        difficulty_weights(torch.zeros(2), -1)
    with pytest.raises(ValueError, match=r"difficulty: expected shape .* without infinite values"):
        difficulty_weights(torch.tensor([0.0, math.inf]))
    for measure in (neighbor_overlap, relative_spread):
        with pytest.raises(ValueError, match=r"finite.*classes \[1\]"):
            measure(embeddings.masked_fill((labels == 1).unsqueeze(1), math.nan), labels, 2)
