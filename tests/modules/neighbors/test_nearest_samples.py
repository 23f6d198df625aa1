"""The opinion of the nearest training samples."""

from __future__ import annotations

import math
from typing import Any
from unittest.mock import patch

import numpy
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_array
from torch import Tensor

from modules.neighbors import nearest_samples
from modules.neighbors.nearest_samples import NearestSamples, nearest_first


def bits(rows: list[set[int]], width: int = 8) -> csr_array:
    """Rows of ones at the given places."""
    dense = numpy.array([[float(place in row) for place in range(width)] for row in rows], dtype=numpy.float32)
    return csr_array(dense.reshape(len(rows), width))


def remembering(rows: list[set[int]], codes: list[int], number: int, num_classes: int = 3) -> NearestSamples:
    neighbors = NearestSamples(num_classes)
    neighbors.learn(bits(rows), numpy.array(codes), number)
    return neighbors


def test_the_opinion_is_the_hand_computed_one() -> None:
    neighbors = remembering([{0, 1}, {0, 1, 2, 3}, {5}, {6}], [0, 1, 1, 0], number=2)
    # Similarities to {0, 1}: 1, 1/2, 0 and 0. Both classes have half of the samples.
    first, second = 1.0, 0.5**4
    total = first + second + 0.05
    expected = [math.log((2 * first + 0.05) / total), math.log((2 * second + 0.05) / total)]
    found = neighbors.opinions(bits([{0, 1}]))
    assert found[0].tolist() == pytest.approx([*expected, sum(expected) / 2], abs=1e-6)


def test_a_sample_that_is_like_no_other_gives_no_opinion() -> None:
    neighbors = remembering([{0}, {1}, {2}], [0, 1, 1], number=3)
    assert torch.equal(neighbors.opinions(bits([{7}, set()])), torch.zeros(2, 3))


samples = st.lists(st.tuples(st.sets(st.integers(0, 7)), st.integers(0, 2)), min_size=1, max_size=12)


@given(samples, st.lists(st.sets(st.integers(0, 7)), min_size=1, max_size=4), st.integers(1, 15))
def test_opinions_equal_a_loop(known: list[tuple[set[int], int]], asked: list[set[int]], number: int) -> None:
    rows, codes = [row for row, _ in known], [code for _, code in known]
    found = remembering(rows, codes, number).opinions(bits(asked))
    for sample, opinion in zip(asked, found.tolist(), strict=True):
        similarity = [len(sample & row) / len(sample | row) if sample | row else 0.0 for row in rows]
        votes = sorted((value**4 for value in similarity), reverse=True)[:number]
        nearest = sorted(range(len(rows)), key=lambda place: -similarity[place])
        for code in set(codes):
            own = sum(similarity[place] ** 4 for place in nearest[:number] if codes[place] == code)
            lift = own * len(codes) / codes.count(code)
            assert opinion[code] == pytest.approx(math.log((lift + 0.05) / (sum(votes) + 0.05)), abs=1e-4)


@given(samples, st.lists(st.sets(st.integers(0, 7)), min_size=1, max_size=4), st.integers(1, 15))
def test_after_many_comparisons_a_compiled_search_gives_the_same_opinions(
    known: list[tuple[set[int], int]], asked: list[set[int]], number: int
) -> None:
    neighbors = remembering([row for row, _ in known], [code for _, code in known], number)
    before = neighbors.opinions(bits(asked))
    assert neighbors._search is None
    with patch.object(nearest_samples, "_COMPARISONS_TO_COMPILE", 0):
        after = neighbors.opinions(bits(asked))
    assert neighbors._search is not None
    torch.testing.assert_close(after, before, rtol=0, atol=1e-6)


def test_of_equally_similar_samples_the_first_count() -> None:
    similarity = torch.tensor([[0.0, 0.5, 0.25, 0.5, 0.25, 1.0, 0.25] * 300, [0.5] * 2100])
    values, places = nearest_first(similarity, 1202)
    order = [row.sort(descending=True, stable=True) for row in similarity]
    assert torch.equal(values, torch.stack([row.values[:1202] for row in order]))
    assert [set(row) for row in places.tolist()] == [set(row.indices[:1202].tolist()) for row in order]


def test_more_samples_than_are_compared_at_once_get_their_opinions_in_order() -> None:
    neighbors = remembering([{0}, {1}], [0, 1], number=1)
    found = neighbors.opinions(bits([{place % 2} for place in range(600)]))
    assert found[:, :2].argmax(dim=1).tolist() == [place % 2 for place in range(600)]


def test_what_is_remembered_is_saved_and_restored() -> None:
    neighbors = remembering([{0, 1}, {2}], [0, 2], number=2)
    assert neighbors.state_dict()["_extra_state"] == {}
    neighbors.weight, neighbors.temperature, neighbors.prior = 0.5, 2.0, torch.tensor([-1.0, -2.0, 0.0])
    loaded = NearestSamples(3)
    loaded.load_state_dict(neighbors.state_dict())
    assert (loaded.weight, loaded.number) == (0.5, 2)
    logits = torch.tensor([[1.0, 2.0, 3.0]])
    assert loaded.mixed(logits, torch.tensor([[4.0, 0.0, 2.0]])).tolist() == [[1.0, 0.0, 2.0]]
    assert torch.equal(loaded.opinions(bits([{1}])), neighbors.opinions(bits([{1}])))
    neighbors.forget()
    loaded.load_state_dict(neighbors.state_dict())
    assert loaded.weight == 0


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("weight", -1.0),
        ("weight", float("nan")),
        ("weight", "1"),
        ("temperature", 0.0),
        ("prior", torch.zeros(2)),
        ("number", 0),
        ("width", 2),
        ("starts", torch.tensor([0, 5, 3])),
        ("starts", torch.tensor([0, 3])),
        ("bins", torch.tensor([0, -1, 2])),
        ("bins", torch.tensor([0.0, 1.0, 2.0])),
        ("codes", torch.tensor([0, 3])),
        ("codes", None),
    ],
)
def test_damaged_memories_are_refused(name: str, value: Tensor | float | str | None) -> None:
    neighbors = remembering([{0, 1}, {2}], [0, 2], number=2)
    neighbors.weight = 0.5
    state: dict[str, Any] = {**neighbors.state_dict()["_extra_state"], name: value}
    with pytest.raises(ValueError, match=r"^neighbors"):
        NearestSamples(3).set_extra_state(state)
