"""Trees on counts: ways to leaves, and what leaves say of classes."""

from __future__ import annotations

import math
from typing import Any
from unittest.mock import patch

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.sparse import csr_array
from sklearn.ensemble import RandomForestClassifier

from modules.forest import growth
from modules.forest.growth import grow_trees
from modules.forest.tree_kernel import find_leaves
from modules.forest.trees import Trees


def drawn(seed: int, samples: int = 60, width: int = 5, classes: int = 3) -> tuple[NDArray[Any], NDArray[Any]]:
    """Counts, and class codes that depend on two of them."""
    draws = numpy.random.default_rng(seed)
    counts = draws.poisson(0.8, (samples, width)).astype(numpy.float32)
    codes = (counts[:, 0] > counts[:, 1]).astype(int) + draws.integers(0, classes - 1, samples)
    return counts, codes


def grown(counts: NDArray[Any], codes: NDArray[Any], trees: int, num_classes: int) -> Trees:
    return grow_trees(csr_array(counts), codes, trees, num_classes, [numpy.arange(counts.shape[1])])


@pytest.fixture
def two_trees() -> Trees:
    """A tree that asks for feature 0 and then for feature 2, and a leaf of its own."""
    return Trees(
        roots=numpy.array([0, 5]),
        features=numpy.array([0, -1, 2, -1, -1, -1]),
        limits=numpy.array([0, 0, 2, 0, 0, 0]),
        following=numpy.array([2, 0, 4, 1, 2, 3]),
        starts=numpy.array([0, 1, 3, 4, 6]),
        codes=numpy.array([0, 0, 1, 1, 0, 1]),
        shares=numpy.array([1.0, 0.25, 0.75, 1.0, 0.5, 0.5]),
        class_counts=numpy.array([3, 1, 0]),
    )


def test_ways_and_opinions_are_the_hand_computed_ones(two_trees: Trees) -> None:
    counts = numpy.array([[0, 9, 9], [1, 0, 2], [1, 0, 3]], dtype=numpy.uint8)
    leaves = two_trees.leaves(counts)
    assert leaves.tolist() == [[0, 3], [1, 3], [2, 3]]
    # Three quarters of the training samples are of the first class, and none of the last.
    shares = [(0.75, 0.25), (0.375, 0.625), (0.25, 0.75)]
    expected = [[math.log(first / 0.75 + 0.05), math.log(second / 0.25 + 0.05)] for first, second in shares]
    found = two_trees.opinions(leaves)
    assert found[:, :2] == pytest.approx(numpy.array(expected), abs=1e-6)
    assert found[:, 2] == pytest.approx(numpy.mean(expected, axis=1), abs=1e-6)
    assert found.dtype == numpy.float32


def test_no_samples_have_no_opinions(two_trees: Trees) -> None:
    leaves = two_trees.leaves(numpy.zeros((0, 3), dtype=numpy.uint8))
    assert two_trees.opinions(leaves).shape == (0, 3)


@given(st.integers(0, 1_000), st.integers(1, 6))
def test_opinions_are_those_of_the_probabilities_of_scikit_learn(seed: int, trees: int) -> None:
    counts, codes = drawn(seed)
    # Class 1 of five has no samples.
    codes = numpy.where(codes > 0, codes + 1, 0)
    peer = RandomForestClassifier(trees, min_samples_leaf=2, random_state=0).fit(counts, codes)
    new = numpy.random.default_rng(seed + 1).poisson(1.0, (20, 5)).astype(numpy.uint8)
    own = grown(counts, codes, trees, 5)
    found = own.opinions(own.leaves(new))
    share = numpy.bincount(codes, minlength=5) / len(codes)
    expected = numpy.log(peer.predict_proba(new) / share[peer.classes_] + 0.05)
    assert found[:, peer.classes_] == pytest.approx(expected, abs=1e-5)
    unknown = [code for code in range(5) if code not in peer.classes_]
    assert found[:, unknown] == pytest.approx(numpy.repeat(expected.mean(1)[:, None], len(unknown), 1), abs=1e-5)


@given(st.integers(0, 1_000))
def test_the_compiled_loop_finds_the_same_leaves(seed: int) -> None:
    trees = grown(*drawn(seed), 4, 3)
    new = numpy.random.default_rng(seed + 1).poisson(1.0, (20, 5)).astype(numpy.uint8)
    found = numpy.empty((20, 4), dtype=numpy.int32)
    find_leaves(new, trees.roots, trees.features, trees.limits, trees.following, found)
    assert numpy.array_equal(found, trees.leaves(new))


def test_trees_that_are_grown_a_few_at_a_time_are_joined_in_order() -> None:
    counts, codes = drawn(0)
    new = numpy.random.default_rng(1).poisson(1.0, (20, 5)).astype(numpy.uint8)
    with patch.object(growth, "_NUMBERS_AT_ONCE", 2 * len(codes) * 3):
        joined = grown(counts, codes, 5, 3)
    assert len(joined.roots) == 5
    # Groups begin at trees 0, 2 and 4, whose numbers are their seeds.
    share = numpy.bincount(codes) / len(codes)
    votes = sum(
        size * RandomForestClassifier(size, min_samples_leaf=2, random_state=seed).fit(counts, codes).predict_proba(new)
        for seed, size in ((0, 2), (2, 2), (4, 1))
    )
    found = joined.opinions(joined.leaves(new))
    assert found == pytest.approx(numpy.log(votes / 5 / share + 0.05), abs=1e-5)


@pytest.mark.parametrize(("together", "groups"), [(9, [(0, 0, 3), (1, 3, 2)]), (2, [(0, 0, 2), (0, 2, 1), (1, 3, 2)])])
def test_kinds_share_the_trees_and_each_tree_asks_for_counts_of_one_kind(
    together: int, groups: list[tuple[int, int, int]]
) -> None:
    counts, codes = drawn(0)
    kinds = [numpy.array([0, 3]), numpy.array([1, 2, 4])]
    with patch.object(growth, "_NUMBERS_AT_ONCE", together * len(codes) * 3):
        joined = grow_trees(csr_array(counts), codes, 5, 3, kinds)
    new = numpy.random.default_rng(1).poisson(1.0, (20, 5)).astype(numpy.uint8)
    # Three trees of the first kind, then two of the second one; the number of the first tree of a group is its seed.
    votes = sum(
        size
        * RandomForestClassifier(size, min_samples_leaf=2, random_state=seed)
        .fit(counts[:, kinds[kind]], codes)
        .predict_proba(new[:, kinds[kind]])
        for kind, seed, size in groups
    )
    share = numpy.bincount(codes) / len(codes)
    found = joined.opinions(joined.leaves(new))
    assert found == pytest.approx(numpy.log(votes / 5 / share + 0.05), abs=1e-5)
    asked = [set(own[own >= 0].tolist()) for own in numpy.split(joined.features, joined.roots[1:])]
    assert [own <= {0, 3} for own in asked] == [True] * 3 + [False] * 2
    assert all(own <= {1, 2, 4} for own in asked[3:])


def test_a_tree_is_grown_on_at_most_so_many_samples() -> None:
    counts, codes = drawn(0)
    with patch.object(growth, "MOST_IN_BOOTSTRAP", 20):
        trees = grown(counts, codes, 4, 3)
    peer = RandomForestClassifier(4, min_samples_leaf=2, max_samples=20, random_state=0).fit(counts, codes)
    nodes = numpy.diff([*trees.roots, len(trees.features)])
    assert nodes.tolist() == [own.tree_.node_count for own in peer.estimators_]
    new = numpy.random.default_rng(1).poisson(1.0, (20, 5)).astype(numpy.uint8)
    expected = numpy.log(peer.predict_proba(new) / (numpy.bincount(codes) / len(codes)) + 0.05)
    assert trees.opinions(trees.leaves(new)) == pytest.approx(expected, abs=1e-5)


def test_kinds_without_trees_are_left_out() -> None:
    counts, codes = drawn(0)
    trees = grow_trees(csr_array(counts), codes, 1, 3, [numpy.array([4]), numpy.array([0, 1])])
    assert len(trees.roots) == 1
    assert set(trees.features.tolist()) <= {-1, 4}


def test_a_long_growth_is_announced(caplog: pytest.LogCaptureFixture) -> None:
    counts, codes = drawn(0)
    with caplog.at_level("INFO", "tailmol"):
        grown(counts, codes, 2, 3)
        assert not caplog.messages
        with patch.object(growth, "_LONG", len(codes) * 3):
            grown(counts, codes, 2, 3)
    assert caplog.messages == ["Growing a forest of 2 trees on 60 samples."]


def test_large_counts_are_one() -> None:
    # Only counts above the largest one tell the classes apart, so that no node can ask for them.
    counts = numpy.array([[300.0], [400.0]] * 8)
    trees = grown(counts, numpy.array([0, 1] * 8), 3, 2)
    assert len(trees.features) == 3


def test_samples_of_one_class_grow_leaves_alone() -> None:
    trees = grown(numpy.ones((4, 2)), numpy.full(4, 1), 2, 3)
    assert trees.opinions(trees.leaves(numpy.zeros((1, 2), dtype=numpy.uint8))) == pytest.approx(math.log(1.05))
