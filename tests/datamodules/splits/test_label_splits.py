"""Splits and folds of samples with several labels: shares, labels that are everywhere, and groups."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from base.errors import InputError
from datamodules.splits.label_splits import stratified_label_folds, stratified_label_split
from datamodules.splits.splitters import TEST, TRAIN, VALIDATION, Fractions, random_split

SEEDS = st.integers(0, 1000)
FRACTIONS = st.sampled_from([(0.7, 0.1, 0.2), (0.8, 0.1, 0.1), (0.4, 0.3, 0.3), (0.1, 0.2, 0.7)])


@st.composite
def crowded(draw: st.DrawFn) -> tuple[NDArray[Any], NDArray[Any]]:
    """Few groups of one or two rows with many labels, of which often not all can be everywhere."""
    source = numpy.random.default_rng(draw(st.integers(0, 10_000)))
    number, labels, share = draw(st.integers(1, 12)), draw(st.integers(1, 12)), draw(st.sampled_from([0.1, 0.25, 0.4]))
    groups = source.permutation(numpy.repeat(numpy.arange(number) - 3, source.integers(1, 3, number)))
    return source.choice([1, 0, -1], (len(groups), labels), p=[share, 0.9 - share, 0.1]).astype(numpy.int8), groups


@st.composite
def tables(draw: st.DrawFn) -> tuple[NDArray[Any], NDArray[Any]]:
    """Labels that at least a tenth of the groups have, and groups of one to three rows, in random order."""
    source = numpy.random.default_rng(draw(st.integers(0, 10_000)))
    number, labels = draw(st.integers(60, 120)), draw(st.integers(1, 6))
    groups = source.permutation(numpy.repeat(numpy.arange(number), source.integers(1, 4, number)))
    share = source.uniform(0.1, 0.5, labels)
    values = (source.random((len(groups), labels)) < share).astype(numpy.int8)
    values[source.random(values.shape) < 0.1] = -1
    return values, groups


def groups_with(values: NDArray[Any], groups: NDArray[Any], places: NDArray[Any]) -> dict[int, tuple[int, set[int]]]:
    """The place and the labels of each group."""
    found: dict[int, tuple[int, set[int]]] = {}
    for row, group, place in zip(values.tolist(), groups.tolist(), places.tolist(), strict=True):
        known, labels = found.setdefault(group, (place, set()))
        assert place == known
        labels.update(label for label, value in enumerate(row) if value == 1)
    return found


def label_counts(values: NDArray[Any], groups: NDArray[Any], places: NDArray[Any], number: int) -> NDArray[Any]:
    """(number, L + 1) groups of each label in each place; in the last column all groups."""
    counts = numpy.zeros((number, values.shape[1] + 1), dtype=int)
    for place, labels in groups_with(values, groups, places).values():
        counts[place, [*labels, -1]] += 1
    return counts


def missing_pairs(placed: dict[int, tuple[int, set[int]]], number: int, fewest: int) -> set[tuple[int, int]]:
    """Labels of enough groups, and the places without them."""
    missing = set()
    for label in {label for _, labels in placed.values() for label in labels}:
        places = [place for place, labels in placed.values() if label in labels]
        if len(places) >= fewest:
            missing |= {(label, place) for place in range(number) if place not in places}
    return missing


def check_nothing_to_repair(
    placed: dict[int, tuple[int, set[int]]], number: int, fewest: int, home: int, small: int
) -> None:
    """No move of one group, or exchange of two, lets fewer labels miss; none of a small label could go home."""
    missing = missing_pairs(placed, number, fewest)

    def after(**places: int) -> set[tuple[int, int]]:
        moved = {int(group): (place, placed[int(group)][1]) for group, place in places.items()}
        return missing_pairs(placed | moved, number, fewest)

    sizes = {
        label: sum(label in labels for _, labels in placed.values())
        for label in set().union(*(labels for _, labels in placed.values()))
    }
    for group, (place, labels) in placed.items():
        if place != home and any(sizes[label] <= small for label in labels):
            assert after(**{str(group): home}) - missing
        if missing:
            for other in range(number):
                assert not after(**{str(group): other}) < missing
            for partner, (other, _) in placed.items():
                assert not after(**{str(group): other, str(partner): place}) < missing


# Splits


def test_labels_that_exclude_each_other_are_divided_as_classes_are() -> None:
    # 100 groups of label 0, 10 of label 1, 50 of none.
    values = numpy.zeros((160, 2), dtype=numpy.int8)
    values[:100, 0] = values[100:110, 1] = 1
    for seed in range(5):
        splits = stratified_label_split(values, numpy.arange(160), seed=seed)
        assert splits.dtype == numpy.int64
        assert label_counts(values, numpy.arange(160), splits, 3).tolist() == [[70, 7, 112], [10, 1, 16], [20, 2, 32]]


def test_three_groups_with_a_label_go_to_three_splits_and_one_or_two_to_training() -> None:
    values = numpy.zeros((46, 3), dtype=numpy.int8)
    values[:3, 0] = values[3:5, 1] = values[5, 2] = 1
    for seed, fractions in product(range(5), [(0.7, 0.1, 0.2), (0.98, 0.01, 0.01), (0.2, 0.1, 0.7)]):
        splits = stratified_label_split(values, numpy.arange(46), fractions, seed)
        assert sorted(splits[:3]) == [TRAIN, VALIDATION, TEST]
        assert splits[3:6].tolist() == [TRAIN] * 3


def test_a_label_of_one_group_is_where_another_label_needs_its_group() -> None:
    # Each of the three groups of label 0 has a label of its own.
    values = numpy.array([[1, 1, 0, 0], [1, 0, 1, 0], [1, 0, 0, 1]], dtype=numpy.int8)
    for seed in range(5):
        splits = stratified_label_split(values, numpy.arange(3), seed=seed)
        assert sorted(splits) == [TRAIN, VALIDATION, TEST]


def test_what_cannot_be_everywhere_is_where_it_can_be() -> None:
    # Two of three splits have one group each, but only the last group has all three labels.
    values = numpy.array([[1, 1, 0], [1, 0, 1], [0, 1, 1], [1, 1, 1]], dtype=numpy.int8)
    for seed in range(10):
        splits = stratified_label_split(values, numpy.arange(4), seed=seed)
        placed = groups_with(values, numpy.arange(4), splits)
        assert len(missing_pairs(placed, 3, 3)) == 1


@given(crowded(), FRACTIONS, SEEDS)
def test_no_move_and_no_exchange_would_bring_a_missing_label(
    table: tuple[NDArray[Any], NDArray[Any]], fractions: Fractions, seed: int
) -> None:
    splits = stratified_label_split(*table, fractions, seed)
    assert set(splits.tolist()) <= {TRAIN, VALIDATION, TEST}
    check_nothing_to_repair(groups_with(*table, splits), 3, 3, TRAIN, 2)


@given(tables(), FRACTIONS, SEEDS)
def test_every_split_has_its_share_of_every_label_and_none_without(
    table: tuple[NDArray[Any], NDArray[Any]], fractions: Fractions, seed: int
) -> None:
    counts = label_counts(*table, stratified_label_split(*table, fractions, seed), 3)
    total = counts.sum(axis=0)
    assert (counts[:, total >= 3] > 0).all()
    wanted = numpy.array(fractions)[:, None] * total
    assert (abs(counts - wanted) <= 3 + 0.06 * total).all()


def test_shares_are_closer_than_those_of_a_random_split() -> None:
    source = numpy.random.default_rng(0)
    values = (source.random((600, 8)) < numpy.geomspace(0.02, 0.4, 8)).astype(numpy.int8)
    groups, classes = numpy.arange(600), numpy.zeros(600, dtype=numpy.int64)

    def distance(splits: list[NDArray[Any]]) -> float:
        counts = numpy.stack([label_counts(values, groups, own, 3) for own in splits])
        return float(abs(counts / counts[0].sum(axis=0) - numpy.array([0.7, 0.1, 0.2])[:, None]).mean())

    stratified = distance([stratified_label_split(values, groups, seed=seed) for seed in range(10)])
    assert stratified < distance([random_split(classes, groups, seed=seed) for seed in range(10)]) / 3


def test_an_unknown_label_counts_as_none_and_the_groups_as_one_sample() -> None:
    source = numpy.random.default_rng(1)
    values = source.integers(-1, 2, (60, 4)).astype(numpy.int8)
    groups = numpy.repeat(numpy.arange(20), 3)
    splits = stratified_label_split(values, groups)
    numpy.testing.assert_array_equal(splits, stratified_label_split(values.clip(min=0), groups))
    joined = values.reshape(20, 3, 4).max(axis=1)
    numpy.testing.assert_array_equal(splits[::3], stratified_label_split(joined, numpy.arange(20)))


@given(tables(), SEEDS)
def test_the_result_depends_on_the_seed_and_not_on_the_numbers_of_groups(
    table: tuple[NDArray[Any], NDArray[Any]], seed: int
) -> None:
    values, groups = table
    renamed = numpy.random.default_rng(seed).permutation(2 * (groups.max() + 1))[groups] - 7
    splits, folds = stratified_label_split(values, groups, seed=seed), stratified_label_folds(values, groups, 3, seed)
    numpy.testing.assert_array_equal(splits, stratified_label_split(values, renamed, seed=seed))
    numpy.testing.assert_array_equal(folds.tested, stratified_label_folds(values, renamed, 3, seed).tested)
    assert (splits != stratified_label_split(values, groups, seed=seed + 1)).any()
    assert (folds.tested != stratified_label_folds(values, groups, 3, seed + 1).tested).any()


def test_a_table_without_rows_or_labels_has_splits() -> None:
    empty = numpy.zeros((0, 3), dtype=numpy.int8)
    assert stratified_label_split(empty, numpy.zeros(0, dtype=numpy.int64)).shape == (0,)
    assert stratified_label_folds(empty, numpy.zeros(0, dtype=numpy.int64), 3).tested.shape == (0,)
    splits = stratified_label_split(numpy.zeros((10, 0), dtype=numpy.int8), numpy.arange(10))
    assert numpy.bincount(splits).tolist() == [7, 1, 2]


@pytest.mark.parametrize("fractions", [(0.7, 0.1, 0.1), (1.0, 0.0, 0.0), (0.5, 0.5)])
def test_shares_that_do_not_sum_to_one_are_refused(fractions: Any) -> None:
    with pytest.raises(InputError, match=r"^data\.split_fractions: expected three positive numbers that sum to 1, got"):
        stratified_label_split(numpy.ones((5, 2), dtype=numpy.int8), numpy.arange(5), fractions)


# Folds


@given(crowded(), st.integers(2, 4), SEEDS)
def test_no_move_and_no_exchange_would_bring_a_label_to_a_fold(
    table: tuple[NDArray[Any], NDArray[Any]], number: int, seed: int
) -> None:
    folds = stratified_label_folds(*table, number, seed)
    numpy.testing.assert_array_equal(folds.touched, folds.tested[:, None])
    placed = groups_with(*table, folds.tested)
    check_nothing_to_repair(placed, number, number, -1, 1)
    for place, labels in placed.values():
        assert place >= 0 or any(sum(label in other for _, other in placed.values()) == 1 for label in labels)


@given(tables(), st.integers(2, 5), SEEDS)
def test_every_fold_has_its_share_of_every_label(
    table: tuple[NDArray[Any], NDArray[Any]], number: int, seed: int
) -> None:
    counts = label_counts(*table, stratified_label_folds(*table, number, seed).tested, number)
    total = counts.sum(axis=0)
    assert (counts[:, total >= number] > 0).all()
    assert (abs(counts - total / number) <= 3 + 0.06 * total).all()


def test_the_only_group_of_a_label_is_in_no_fold() -> None:
    values = numpy.zeros((22, 2), dtype=numpy.int8)
    values[:20, 0] = values[20, 1] = 1
    for seed in range(5):
        tested = stratified_label_folds(values, numpy.arange(22), 5, seed).tested
        assert tested[20] == -1
        assert numpy.bincount(tested[:20]).tolist() == [4] * 5
        assert tested[21] >= 0
