from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datamodules.drug_table import InputError
from datamodules.splits import SPLIT_NAMES, SplitName, file_split, random_split

CLASS_SIZES = st.lists(st.integers(1, 40), min_size=1, max_size=8)
FRACTIONS = st.tuples(st.integers(1, 20), st.integers(1, 20), st.integers(1, 20)).map(
    lambda parts: (parts[0] / sum(parts), parts[1] / sum(parts), parts[2] / sum(parts))
)


def table(class_sizes: list[int]) -> tuple[list[str], list[int]]:
    """Labels and distinct keys of classes of these sizes."""
    labels = [str(label) for label, size in enumerate(class_sizes) for _ in range(size)]
    return labels, list(range(len(labels)))


def shares(labels: list[str], splits: list[SplitName]) -> dict[str, Counter[SplitName]]:
    found: dict[str, Counter[SplitName]] = {label: Counter() for label in labels}
    for label, split in zip(labels, splits, strict=True):
        found[label][split] += 1
    return found


def test_a_hundred_samples_of_a_class_go_70_10_20() -> None:
    labels, keys = table([100, 10, 1000])
    found = shares(labels, random_split(labels, keys))
    assert found["0"] == {"train": 70, "validation": 10, "test": 20}
    assert found["1"] == {"train": 7, "validation": 1, "test": 2}
    assert found["2"] == {"train": 700, "validation": 100, "test": 200}


@given(CLASS_SIZES, FRACTIONS, st.integers(0, 1000))
def test_every_class_of_three_is_in_every_split_and_smaller_ones_in_training(
    class_sizes: list[int], fractions: tuple[float, float, float], seed: int
) -> None:
    labels, keys = table(class_sizes)
    found = shares(labels, random_split(labels, keys, fractions, seed))
    for label, size in enumerate(class_sizes):
        expected = set(SPLIT_NAMES) if size >= 3 else {"train"}
        assert set(found[str(label)]) == expected
        assert found[str(label)].total() == size


@given(CLASS_SIZES, st.integers(0, 1000))
def test_shares_are_rounded_and_at_least_one(class_sizes: list[int], seed: int) -> None:
    labels, keys = table(class_sizes)
    found = shares(labels, random_split(labels, keys, seed=seed))
    for label, size in enumerate(class_sizes):
        if size >= 3:
            assert found[str(label)]["validation"] == max(1, round(0.1 * size))
            assert found[str(label)]["test"] == max(1, round(0.2 * size))


def test_training_keeps_one_where_its_share_rounds_to_nothing() -> None:
    labels, keys = table([3, 4])
    found = shares(labels, random_split(labels, keys, (0.02, 0.49, 0.49)))
    assert found["0"] == {"train": 1, "validation": 1, "test": 1}
    assert found["1"] == {"train": 1, "validation": 1, "test": 2}


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 12)), min_size=1, max_size=120), st.integers(0, 99))
def test_rows_of_one_key_stay_together(rows: list[tuple[int, int]], seed: int) -> None:
    labels = [str(label) for label, _ in rows]
    splits = random_split(labels, rows, seed=seed)
    split_of = dict(zip(rows, splits, strict=True))
    assert splits == [split_of[row] for row in rows]
    for label in set(labels):
        distinct = {key: split for key, split in split_of.items() if str(key[0]) == label}
        assert set(distinct.values()) == (set(SPLIT_NAMES) if len(distinct) >= 3 else {"train"})


def test_copies_of_a_sample_do_not_make_a_class_large() -> None:
    assert random_split(["a"] * 6, ["x", "x", "x", "y", "y", "y"]) == ["train"] * 6


def test_the_seed_decides_the_split() -> None:
    labels, keys = table([30, 20, 5])
    splits = {seed: random_split(labels, keys, seed=seed) for seed in range(5)}
    assert all(random_split(labels, keys, seed=seed) == split for seed, split in splits.items())
    assert len({tuple(split) for split in splits.values()}) == 5


def test_the_default_seed_is_zero() -> None:
    labels, keys = table([30, 20])
    assert random_split(labels, keys) == random_split(labels, keys, (0.7, 0.1, 0.2), 0)


@pytest.mark.parametrize(
    "fractions", [(0.7, 0.3, 0.0), (0.7, 0.1, 0.1), (1.2, -0.1, -0.1), (0.5, 0.5), (0.25, 0.25, 0.25, 0.25)]
)
def test_other_fractions_are_refused(fractions: tuple[float, float, float]) -> None:
    with pytest.raises(InputError, match=r"data\.split_fractions: expected three positive numbers that sum to 1, got"):
        random_split(["a"], ["x"], fractions)


def test_no_rows_have_no_split() -> None:
    assert random_split([], []) == []
    assert file_split([]) == []


def test_the_names_of_a_file_are_read_in_any_case() -> None:
    given_names = ["train", "Training", "TRAIN", "val", "valid", "validation", "Dev", "test", "TEST"]
    assert file_split(given_names) == ["train"] * 3 + ["validation"] * 4 + ["test"] * 2


@pytest.mark.parametrize(
    ("value", "shown"), [("holdout", "'holdout'"), (None, "None"), ("", "''"), ("train ", "'train '")]
)
def test_another_name_is_refused_with_its_row(value: str | None, shown: str) -> None:
    message = rf"data\.split_column: expected train, validation or test, got {shown} in usable row 3\."
    with pytest.raises(InputError, match=message):
        file_split(["train", "test", value, "val"])
