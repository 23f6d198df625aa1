"""Folds: what they keep apart, and that every row is tested once."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from base.errors import InputError
from datamodules.drug_datamodule import DrugDataModule
from datamodules.splits.folds import cold_folds, random_folds, scaffold_folds
from datamodules.splits.split_settings import SplitSettings
from datamodules.splits.splitters import TEST, TRAIN

rows_of_groups = st.lists(st.tuples(st.integers(0, 12), st.integers(0, 3)), min_size=1, max_size=40)
"""Group and class of each row."""


@given(rows_of_groups, st.integers(2, 5), st.integers(0, 3))
def test_every_row_is_tested_once_and_a_group_stays_together(rows: list[tuple[int, int]], k: int, seed: int) -> None:
    groups, classes = (numpy.array(column) for column in zip(*rows, strict=True))
    folds = random_folds(classes, groups, k, seed)
    tested = Counter[int]()
    for fold in range(k):
        codes = folds.codes(fold)
        held = set(numpy.flatnonzero(codes == TEST).tolist())
        assert set(numpy.flatnonzero(codes == TRAIN).tolist()) == set(range(len(rows))) - held
        assert not {rows[row][0] for row in held} & {rows[row][0] for row in range(len(rows)) if row not in held}
        tested.update(held)
    assert set(tested.values()) <= {1}
    groups_of_class = {code: {group for group, own in rows if own == code} for _, code in rows}
    for row, (_, code) in enumerate(rows):
        if len(groups_of_class[code]) == 1:
            assert row not in tested
    if all(len(own) > 1 for own in groups_of_class.values()):
        assert len(tested) == len(rows)


def test_a_class_is_dealt_out_evenly_and_small_classes_go_to_different_folds() -> None:
    classes = numpy.array([0] * 11 + [1] * 2 + [2] * 2 + [3] * 2 + [4])
    folds = random_folds(classes, numpy.arange(len(classes)), 5, seed=0).tested
    assert sorted(Counter(folds[:11].tolist()).values()) == [2, 2, 2, 2, 3]
    assert set(folds[11:17].tolist()) == {0, 1, 2, 3, 4}
    assert folds[17] == -1


def test_the_largest_scaffolds_go_to_the_fold_with_the_fewest_rows() -> None:
    scaffolds = numpy.repeat([7, 8, 9, 10], [5, 4, 3, 2])
    folds = scaffold_folds(scaffolds, 2, seed=0)
    # 5; 4; 4 + 3; 5 + 2.
    assert folds.tested.tolist() == [0] * 5 + [1] * 4 + [1] * 3 + [0] * 2
    assert folds.codes(0).tolist() == [TEST] * 5 + [TRAIN] * 7 + [TEST] * 2


@given(
    st.lists(st.tuples(st.integers(0, 8), st.integers(0, 8)), min_size=2, max_size=30),
    st.sampled_from([([0], False), ([1], False), ([0, 1], False), ([0, 1], True)]),
    st.integers(2, 4),
)
def test_no_cold_drug_of_a_fold_is_in_its_training(
    pairs: list[tuple[int, int]], how: tuple[list[int], bool], k: int
) -> None:
    sides, either = how
    folds = cold_folds(numpy.array(pairs), sides, k, 0, either)
    tested = Counter[int]()
    for fold in range(k):
        codes = folds.codes(fold)
        trained = {drug for row in numpy.flatnonzero(codes == TRAIN) for drug in pairs[row]}
        for row in numpy.flatnonzero(codes == TEST).tolist():
            new = [pairs[row][side] not in trained for side in sides]
            assert any(new) if either else all(new)
            tested[row] += 1
    assert set(tested.values()) <= {1}
    if len(sides) == 1 or either:
        assert len(tested) == len(pairs)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"folds": 1}, r"data\.folds: expected 2 or more, or null, got 1"),
        ({"folds": 3, "fold": 3}, r"data\.fold: expected a number below that of the folds, 3, got 3"),
        ({"fold": 0}, r"data\.fold: expected a number below that of the folds, None, got 0"),
        ({"folds": 3, "method": "standard"}, r"data\.split: expected random, scaffold, cold or file with folds"),
    ],
)
def test_settings_that_make_no_folds_are_refused(settings: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SplitSettings(**settings)  # type: ignore[arg-type]


def served(folder: Path, **settings: object) -> DrugDataModule:
    """The data module of the bundled data, set up."""
    data = DrugDataModule(fingerprint_size=64, cache_folder=str(folder), **settings)  # type: ignore[arg-type]
    data.setup("test")
    return data


def test_the_members_of_an_ensemble_test_every_row_and_the_ensemble_trains_on_all(tmp_path: Path) -> None:
    whole = served(tmp_path, folds=4)
    every = whole.records.rows["train"].tolist()
    tested: list[int] = []
    for fold in range(4):
        data = DrugDataModule(fingerprint_size=64, cache_folder=str(tmp_path), folds=4, fold=fold)
        data.share_table(whole)
        data.setup("fit")
        rows = data.records.rows
        assert rows["validation"].tolist() == rows["test"].tolist()
        assert sorted([*rows["train"].tolist(), *rows["test"].tolist()]) == every
        assert min(data.task.class_counts) > 0
        tested += rows["test"].tolist()
    assert sorted(tested) == every == whole.records.rows["test"].tolist()
    with pytest.raises(InputError, match=r"data\.fold: expected the fold to leave out, got null"):
        DrugDataModule(fingerprint_size=64, cache_folder=str(tmp_path), folds=4).setup("fit")


def test_test_rows_that_are_kept_are_those_of_the_split_and_in_no_fold(tmp_path: Path) -> None:
    plain, whole = served(tmp_path).records, served(tmp_path, folds=4, keep_test=True).records
    assert whole.rows["test"].tolist() == plain.rows["test"].tolist()
    both = [*plain.rows["train"].tolist(), *plain.rows["validation"].tolist()]
    assert whole.rows["train"].tolist() == sorted(both)
    assert whole.folds is not None
    assert (whole.folds[whole.rows["test"]] == -1).all()
    member = served(tmp_path, folds=4, fold=1, keep_test=True).records
    assert member.rows["test"].tolist() == numpy.flatnonzero(whole.folds == 1).tolist()


def test_a_thinned_table_is_thinned_once_for_all_folds(tmp_path: Path) -> None:
    whole = served(tmp_path, folds=3, imbalance=20.0).records
    members = [served(tmp_path, folds=3, fold=fold, imbalance=20.0).records for fold in range(3)]
    kept = whole.rows["train"].tolist()
    assert len(kept) < len(served(tmp_path, folds=3).records.rows["train"])
    for member in members:
        assert sorted([*member.rows["train"].tolist(), *member.rows["test"].tolist()]) == kept
