import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.typing import NDArray

from base.errors import InputError
from datamodules.splits.splitters import (
    SPLIT_NAMES,
    Fractions,
    cold_split,
    file_split,
    random_split,
    scaffold_split,
    standard_split,
)

TRAIN, VALIDATION, TEST = map(SPLIT_NAMES.index, ("train", "validation", "test"))
SEEDS = st.integers(0, 1000)
CLASS_SIZES = st.lists(st.integers(1, 40), min_size=1, max_size=8)
FRACTIONS = st.tuples(st.integers(1, 20), st.integers(1, 20), st.integers(1, 20)).map(
    lambda parts: (parts[0] / sum(parts), parts[1] / sum(parts), parts[2] / sum(parts))
)
STRATIFIED: list[Callable[..., NDArray[Any]]] = [random_split, standard_split]


def table(class_sizes: list[int]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Class codes, and groups of one row each, of classes of these sizes."""
    classes = numpy.repeat(numpy.arange(len(class_sizes)), class_sizes)
    return classes, numpy.arange(len(classes))


def shares(classes: NDArray[Any], splits: NDArray[Any]) -> dict[int, Counter[int]]:
    """How many rows of each class are in each split."""
    found: dict[int, Counter[int]] = {code: Counter() for code in classes.tolist()}
    for code, split in zip(classes.tolist(), splits.tolist(), strict=True):
        found[code][split] += 1
    return found


# By class, at random


def test_a_hundred_samples_of_a_class_go_70_10_20() -> None:
    classes, groups = table([100, 10, 1000])
    found = shares(classes, random_split(classes, groups))
    assert found == {
        0: {TRAIN: 70, VALIDATION: 10, TEST: 20},
        1: {TRAIN: 7, VALIDATION: 1, TEST: 2},
        2: {TRAIN: 700, VALIDATION: 100, TEST: 200},
    }


@given(CLASS_SIZES, FRACTIONS, SEEDS)
def test_every_class_of_three_is_in_every_split_and_smaller_ones_in_training(
    class_sizes: list[int], fractions: Fractions, seed: int
) -> None:
    classes, groups = table(class_sizes)
    for split in STRATIFIED:
        found = shares(classes, split(classes, groups, fractions, seed))
        for code, size in enumerate(class_sizes):
            assert set(found[code]) == ({TRAIN, VALIDATION, TEST} if size >= 3 else {TRAIN})
            assert found[code].total() == size


@given(CLASS_SIZES, SEEDS)
def test_shares_are_rounded_and_at_least_one(class_sizes: list[int], seed: int) -> None:
    classes, groups = table(class_sizes)
    found = shares(classes, random_split(classes, groups, seed=seed))
    for code, size in enumerate(class_sizes):
        if size >= 3:
            assert found[code][VALIDATION] == max(1, round(0.1 * size))
            assert found[code][TEST] == max(1, round(0.2 * size))


def test_training_keeps_one_where_its_share_rounds_to_nothing() -> None:
    classes, groups = table([3, 4])
    found = shares(classes, random_split(classes, groups, (0.02, 0.49, 0.49)))
    assert found == {0: {TRAIN: 1, VALIDATION: 1, TEST: 1}, 1: {TRAIN: 1, VALIDATION: 1, TEST: 2}}


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(-9, 9)), min_size=1, max_size=120), SEEDS)
def test_rows_of_one_group_stay_together_and_classes_of_three_are_everywhere(
    rows: list[tuple[int, int]], seed: int
) -> None:
    classes, groups = numpy.array(rows).T
    classes_of = {group: {code for code, other in rows if other == group} for _, group in rows}
    for split in STRATIFIED:
        splits = split(classes, groups, seed=seed).tolist()
        for group in classes_of:
            found = {place for (_, other), place in zip(rows, splits, strict=True) if other == group}
            assert len(found - {-1}) == 1
            # Only a balanced split leaves rows out.
            assert -1 not in found or split is standard_split
        for code in set(classes.tolist()):
            alone = [group for group, codes in classes_of.items() if codes == {code}]
            if len(alone) >= 3:
                found = {place for (other, _), place in zip(rows, splits, strict=True) if other == code}
                assert found - {-1} == {TRAIN, VALIDATION, TEST}


def test_a_group_of_two_classes_counts_for_the_one_with_fewer_groups() -> None:
    # Class 0 has twenty groups, class 1 three, one of which has rows of both.
    classes = numpy.array([0] * 20 + [1] * 3)
    groups = numpy.array([*range(20), 19, 20, 21])
    for seed in range(5):
        splits = random_split(classes, groups, seed=seed)
        assert splits[19] == splits[20]
        assert sorted(splits[20:]) == [TRAIN, VALIDATION, TEST]
        balanced = standard_split(classes, groups, seed=seed)
        assert sorted(balanced[20:]) == [TRAIN, VALIDATION, TEST]
        assert balanced[19] == (TRAIN if balanced[20] == TRAIN else -1)


@pytest.mark.parametrize("split", STRATIFIED)
def test_copies_of_a_sample_do_not_make_a_class_large(split: Callable[..., NDArray[Any]]) -> None:
    assert split(numpy.zeros(6, dtype=int), numpy.array([5, 5, 5, 8, 8, 8])).tolist() == [TRAIN] * 6


@given(CLASS_SIZES, SEEDS, st.integers(-(2**40), 2**40))
def test_how_groups_are_numbered_changes_nothing(class_sizes: list[int], seed: int, shift: int) -> None:
    classes, groups = table(class_sizes)
    renumbered = numpy.random.default_rng(0).permutation(groups) + shift
    for split in STRATIFIED:
        assert (split(classes, groups, seed=seed) == split(classes, renumbered, seed=seed)).all()


# Balanced


@given(st.lists(st.tuples(st.integers(1, 25), st.integers(1, 3)), min_size=1, max_size=8), FRACTIONS, SEEDS)
def test_every_class_of_three_groups_has_as_many_in_test(
    sizes: list[tuple[int, int]], fractions: Fractions, seed: int
) -> None:
    # A class has `size` groups of `copies` rows each.
    classes = numpy.repeat(numpy.arange(len(sizes)), [size * copies for size, copies in sizes])
    copies_of = numpy.repeat([copies for _, copies in sizes], [size for size, _ in sizes])
    groups = numpy.repeat(numpy.arange(len(copies_of)), copies_of)
    large = [code for code, (size, _) in enumerate(sizes) if size >= 3]
    rarest = min((sizes[code][0] * sizes[code][1] for code in large), default=0)

    def rows_in(splits: NDArray[Any], place: int) -> set[int]:
        return {int(((classes == code) & (splits == place)).sum()) for code in large}

    splits = standard_split(classes, groups, fractions, seed)
    assert all(len(rows_in(splits, place)) == min(len(large), 1) for place in (VALIDATION, TEST))
    assert all(((classes == code) & (splits == TRAIN)).any() for code in range(len(sizes)))
    splits = standard_split(classes, groups, seed=seed)
    for place, share in ((VALIDATION, 0.1), (TEST, 0.2)):
        promised = {max(1, round(share * rarest))} if large else set()
        # With three groups of several rows, one must be left for training.
        assert rows_in(splits, place) == promised or min(sizes[code][0] for code in large) <= 4


def test_the_rarest_class_decides_how_many_are_tested() -> None:
    classes, groups = table([1000, 30, 10, 2, 50])
    found = shares(classes, standard_split(classes, groups))
    assert {code: (counts[VALIDATION], counts[TEST]) for code, counts in found.items()} == {
        0: (1, 2),
        1: (1, 2),
        2: (1, 2),
        3: (0, 0),
        4: (1, 2),
    }


# By scaffold

SCAFFOLDS = st.lists(st.sampled_from(["", "a", "b", "c", "d", "e", "f", "g"]), min_size=1, max_size=120)


@given(SCAFFOLDS, FRACTIONS, SEEDS)
def test_no_scaffold_is_in_two_splits_and_every_row_in_one(
    scaffolds: list[str], fractions: Fractions, seed: int
) -> None:
    splits = scaffold_split(scaffolds, fractions, seed).tolist()
    split_of = dict(zip(scaffolds, splits, strict=True))
    assert splits == [split_of[scaffold] for scaffold in scaffolds]
    assert set(splits) <= {TRAIN, VALIDATION, TEST}


@given(SCAFFOLDS, FRACTIONS, SEEDS)
def test_the_scaffolds_of_training_are_the_largest_that_it_has_room_for(
    scaffolds: list[str], fractions: Fractions, seed: int
) -> None:
    splits = scaffold_split(scaffolds, fractions, seed)
    split_of = dict(zip(scaffolds, splits.tolist(), strict=True))
    size_of = Counter(scaffolds)
    trained = sum(size_of[name] for name, place in split_of.items() if place == TRAIN)
    assert trained <= fractions[TRAIN] * len(scaffolds) + 0.5
    for name, place in split_of.items():
        # One that is not in training found no room beside those at least as large.
        if place != TRAIN:
            rivals = [size_of[other] for other, at in split_of.items() if at == TRAIN]
            larger = sum(size for size in rivals if size >= size_of[name])
            assert larger + size_of[name] > fractions[TRAIN] * len(scaffolds) + 0.5


def test_scaffolds_fill_the_splits_to_their_shares() -> None:
    scaffolds = ["large"] * 50 + ["middle"] * 20 + [str(number) for number in range(30)]
    splits = scaffold_split(scaffolds)
    assert Counter(splits.tolist()) == {TRAIN: 70, VALIDATION: 10, TEST: 20}
    assert set(splits[:70].tolist()) == {TRAIN}


def test_a_scaffold_too_large_for_training_goes_where_most_is_missing() -> None:
    splits = scaffold_split(["huge"] * 80 + ["small"] * 15 + ["tiny"] * 5)
    assert splits[[0, 80, 95]].tolist() == [TEST, TRAIN, TRAIN]


@given(SCAFFOLDS, SEEDS)
def test_the_order_of_rows_does_not_change_where_a_scaffold_goes(scaffolds: list[str], seed: int) -> None:
    order = numpy.random.default_rng(seed).permutation(len(scaffolds))
    shuffled = [scaffolds[row] for row in order]
    assert scaffold_split(shuffled, seed=seed).tolist() == scaffold_split(scaffolds, seed=seed)[order].tolist()


# By drug

PAIRS = st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)), min_size=1, max_size=80)
SIDES = st.sampled_from([(0,), (1,), (0, 1)])


@given(PAIRS, SIDES, FRACTIONS, SEEDS)
def test_no_cold_drug_of_a_tested_row_is_in_a_training_row(
    pairs: list[tuple[int, int]], sides: tuple[int, ...], fractions: Fractions, seed: int
) -> None:
    drugs = numpy.array(pairs)
    splits = cold_split(drugs, sides, fractions, seed)
    trained = set(drugs[splits == TRAIN].ravel().tolist())
    assert trained.isdisjoint(drugs[splits > TRAIN][:, sides].ravel().tolist())
    validated = set(drugs[splits == VALIDATION][:, sides].ravel().tolist())
    assert validated.isdisjoint(drugs[splits == TEST][:, sides].ravel().tolist())


@given(PAIRS, SIDES, FRACTIONS, SEEDS)
def test_rows_follow_their_drugs_or_are_left_out(
    pairs: list[tuple[int, int]], sides: tuple[int, ...], fractions: Fractions, seed: int
) -> None:
    drugs = sorted({pair[side] for pair in pairs for side in sides})
    alone = cold_split(numpy.array(drugs).reshape(-1, 1), (0,), fractions, seed).tolist()
    split_of = dict(zip(drugs, alone, strict=True))
    for pair, split in zip(pairs, cold_split(numpy.array(pairs), sides, fractions, seed).tolist(), strict=True):
        wanted = {split_of[pair[side]] for side in sides}
        leaks = wanted == {TRAIN} and any(split_of.get(drug, TRAIN) != TRAIN for drug in pair)
        assert split == (-1 if len(wanted) > 1 or leaks else min(wanted))


@given(st.integers(1, 60), FRACTIONS, SEEDS)
def test_single_drugs_are_shared_out_by_the_fractions(number: int, fractions: Fractions, seed: int) -> None:
    drugs = numpy.random.default_rng(seed).permutation(numpy.repeat(numpy.arange(number), 3)).reshape(-1, 1)
    splits = cold_split(drugs, (0,), fractions, seed)
    found = Counter(splits.tolist())
    ends = [fractions[0] * number, (fractions[0] + fractions[1]) * number]
    # Beside a half, the last digit of a sum decides how it is rounded.
    assume(all(abs(end % 1 - 0.5) > 1e-9 for end in ends))
    bounds = [round(end) for end in ends]
    assert [found[place] // 3 for place in range(3)] == [bounds[0], bounds[1] - bounds[0], number - bounds[1]]
    assert all(len(set(splits[drugs[:, 0] == drug].tolist())) == 1 for drug in range(number))


def test_pairs_of_ten_drugs_by_hand() -> None:
    drugs = numpy.array([[first, second] for first in range(10) for second in range(10) if first != second])
    for sides, sizes in (((0,), (7 * 6, 9, 18)), ((1,), (7 * 6, 9, 18)), ((0, 1), (7 * 6, 0, 2))):
        splits = cold_split(drugs, sides)
        assert tuple(int((splits == place).sum()) for place in range(3)) == sizes


# Files


def test_the_names_of_a_file_are_read_in_any_case() -> None:
    names = ["train", "Training", "TRAIN", "val", "valid", "validation", "Dev", "test", "TEST"]
    assert file_split(names).tolist() == [TRAIN] * 3 + [VALIDATION] * 4 + [TEST] * 2


@pytest.mark.parametrize(("value", "shown"), [("holdout", "'holdout'"), ("", "''"), ("train ", "'train '")])
def test_another_name_is_refused_with_its_row(value: str, shown: str) -> None:
    message = rf"data\.split_column: expected train, validation or test, got {shown} in usable row 3\."
    with pytest.raises(InputError, match=message):
        file_split(["train", "test", value, "val"])


@given(st.lists(st.integers(-3, 9).map(str), min_size=3, max_size=60), st.randoms(use_true_random=False))
def test_every_row_follows_its_fold(values: list[str], draw: random.Random) -> None:
    folds = sorted(set(values))
    if len(folds) < 2:
        return
    test, validation = draw.sample(folds, 2)
    splits = file_split(values, [test], [validation]).tolist()
    assert splits == [{test: TEST, validation: VALIDATION}.get(value, TRAIN) for value in values]


# All of them

CLASSES, GROUPS = table([30, 20, 5])
METHODS: dict[str, Callable[..., NDArray[Any]]] = {
    "random": lambda *settings: random_split(CLASSES, GROUPS, *settings),
    "standard": lambda *settings: standard_split(CLASSES, GROUPS, *settings),
    "scaffold": lambda *settings: scaffold_split([str(group) for group in GROUPS], *settings),
    "cold": lambda *settings: cold_split(GROUPS.reshape(-1, 1), [0], *settings),
}


@pytest.mark.parametrize("method", METHODS)
def test_the_seed_decides_the_split(method: str) -> None:
    split = METHODS[method]
    found = {seed: tuple(split((0.7, 0.1, 0.2), seed).tolist()) for seed in range(5)}
    assert all(tuple(split((0.7, 0.1, 0.2), seed).tolist()) == splits for seed, splits in found.items())
    assert len(set(found.values())) == 5
    assert tuple(split().tolist()) == found[0]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    "fractions", [(0.7, 0.3, 0.0), (0.7, 0.1, 0.1), (1.2, -0.1, -0.1), (0.5, 0.5), (0.25, 0.25, 0.25, 0.25)]
)
def test_other_fractions_are_refused(method: str, fractions: Fractions) -> None:
    with pytest.raises(InputError, match=r"data\.split_fractions: expected three positive numbers that sum to 1, got"):
        METHODS[method](fractions)


def test_no_rows_have_no_split() -> None:
    none = numpy.empty(0, dtype=numpy.int64)
    for splits in (random_split(none, none), standard_split(none, none), file_split([]), scaffold_split([])):
        assert splits.shape == (0,)
    assert cold_split(none.reshape(0, 2), (0, 1)).shape == (0,)
