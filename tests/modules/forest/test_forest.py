"""The forest of a model: its opinion, and what a checkpoint keeps of it."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

import numpy
import pytest
import torch
from scipy.sparse import csr_array
from torch import Tensor

from modules.forest import forest
from modules.forest.forest import Forest
from modules.forest.trees import Trees


def drawn(seed: int, samples: int) -> csr_array:
    return csr_array(numpy.random.default_rng(seed).poisson(0.8, (samples, 6)).astype(numpy.float32))


@pytest.fixture
def own() -> Forest:
    """A forest with a weight on samples whose class is in their first count."""
    made, counts = Forest(3), drawn(0, 80)
    codes = numpy.minimum(counts.toarray()[:, 0], 2).astype(numpy.int64)
    made.learn(counts, codes, 30, [numpy.arange(6)])
    made.weight, made.temperature, made.prior = 0.5, 2.0, torch.tensor([-1.0, -2.0, 0.0])
    return made


def test_opinions_name_the_class_of_most_samples(own: Forest) -> None:
    counts = drawn(1, 100)
    right = own.opinions(counts).argmax(dim=1).numpy() == numpy.minimum(counts.toarray()[:, 0], 2)
    assert right.mean() > 0.9
    assert own.opinions(counts[:0]).shape == (0, 3)


def test_after_many_samples_a_compiled_loop_gives_the_same_opinions(own: Forest) -> None:
    counts = drawn(1, 40)
    before = own.opinions(counts)
    with patch.object(forest, "_LEAVES_TO_COMPILE", 0), patch.object(Trees, "leaves", side_effect=AssertionError):
        after = own.opinions(counts)
    assert torch.equal(after, before)


def test_more_samples_than_are_read_at_once_get_their_opinions_in_order(own: Forest) -> None:
    counts = drawn(1, 40)
    expected = own.opinions(counts)
    with patch.object(forest, "_COUNTS_AT_ONCE", 7 * 6):
        assert torch.equal(own.opinions(counts), expected)


def test_counts_above_the_largest_one_count_as_it(own: Forest) -> None:
    most, more = (csr_array(numpy.full((1, 6), count, dtype=numpy.float32)) for count in (255, 300))
    assert torch.equal(own.opinions(more), own.opinions(most))
    assert more.data.tolist() == [300] * 6


def test_a_forest_is_saved_and_restored(own: Forest) -> None:
    counts, loaded = drawn(1, 40), Forest(3)
    loaded.load_state_dict(own.state_dict())
    assert (loaded.weight, loaded.width) == (0.5, 6)
    assert torch.equal(loaded.opinions(counts), own.opinions(counts))
    # (logits - prior + weight * opinion) / temperature + prior
    found = loaded.mixed(torch.tensor([[1.0, 2.0, 3.0]]), torch.tensor([[4.0, 0.0, 2.0]]))
    assert found.tolist() == [[1.0, 0.0, 2.0]]
    own.weight = 0.0
    loaded.load_state_dict(own.state_dict())
    assert (loaded.weight, loaded.trees, loaded.width) == (0.0, None, None)


def changed(values: Tensor, place: int, value: float) -> Tensor:
    copied = values.clone()
    copied[place] = value
    return copied


@pytest.mark.parametrize(
    ("name", "place", "value"),
    [
        ("roots", 0, 1),
        ("roots", 1, 0),
        ("roots", -1, 10_000),
        ("features", 0, 6),
        # A way that leads back to its node would not end.
        ("following", 0, 0),
        ("following", 0, 1),
        ("following", 0, 10_000),
        ("following", -1, -1),
        ("following", -1, 10_000),
        ("features", -1, 0),
        ("starts", 0, 1),
        ("starts", 1, 0),
        ("starts", -1, 10_000),
        ("codes", 0, 3),
        ("codes", 0, -1),
        ("shares", 0, 0.0),
        ("shares", 0, 1.5),
        ("shares", 0, float("nan")),
        ("class_counts", 0, -1),
        ("class_counts", 0, 2**62),
        ("starts", 1, 2**63 - 1),
    ],
)
def test_damaged_trees_are_refused(own: Forest, name: str, place: int, value: float) -> None:
    state = own.get_extra_state()
    with pytest.raises(ValueError, match=r"^forest: expected the nodes and leaves of trees"):
        Forest(3).set_extra_state({**state, name: changed(state[name], place, value)})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("weight", -1.0),
        ("weight", None),
        ("temperature", 0.0),
        ("prior", torch.zeros(2)),
        ("width", "6"),
        ("width", 1),
        ("roots", None),
        ("shares", torch.ones(3, dtype=torch.float64)),
        ("limits", torch.zeros(0, dtype=torch.int32)),
        ("class_counts", torch.zeros(3, dtype=torch.int64)),
        ("class_counts", torch.ones(2, dtype=torch.int64)),
    ],
)
def test_other_values_are_refused(own: Forest, name: str, value: Any) -> None:
    loaded = Forest(3)
    with pytest.raises(ValueError, match=r"^forest: expected the nodes and leaves of trees"):
        loaded.set_extra_state({**own.get_extra_state(), name: value})
    assert (loaded.weight, loaded.trees) == (0.0, None)


def test_leaves_of_samples_without_features_are_refused(own: Forest) -> None:
    own.learn(drawn(0, 8), numpy.zeros(8, dtype=numpy.int64), 1, [numpy.arange(6)])
    state = own.get_extra_state()
    Forest(3).set_extra_state(state)
    with pytest.raises(ValueError, match=r"^forest: expected the nodes and leaves of trees"):
        Forest(3).set_extra_state({**state, "width": 0})
