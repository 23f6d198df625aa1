"""Division of rows that may have several labels, and what is counted of them."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy
import polars
import pytest
from numpy.typing import NDArray

from base.errors import InputError
from datamodules.drug_datamodule import DrugDataModule
from datamodules.sampling import PowerSampling
from datamodules.splits.divide import DrugRecords
from datamodules.splits.label_splits import stratified_label_folds, stratified_label_split
from datamodules.splits.split_settings import CountBy
from tests.datamodules.drug_module import data_module

NAMES = ["amine", "ether", "ring"]


def ring_of(size: int) -> str:
    """One of three rings."""
    return f"C1{'C' * (size % 3 + 1)}C1"


def table(copies: int = 1) -> str:
    """Molecules of all combinations of three labels, some of them not known, each given in one or more spellings."""
    lines = [",".join(["id", "smiles", *NAMES, "group"])]
    kinds = product(range(2, 10), (False, True), (False, True), (False, True))
    for number, (size, *has) in enumerate(kinds):
        amine, ether, ring = has
        smiles = f"{ring_of(size) if ring else ''}{'C' * size}{'OCC' * ether}{'N' * amine}"
        cells = [str(int(one)) for one in has]
        if number % 5 == 1:
            cells[number % 3] = ""
        part = ("train", "train", "validation", "test")[number % 4 if number % 7 else 0]
        spelled = (smiles, f"{smiles}.Cl")[:copies]
        lines += [",".join([f"drug {number}", one, *cells, part]) for one in spelled]
    return "\n".join(lines) + "\n"


def module(folder: Path, text: str | None = None, **settings: Any) -> DrugDataModule:
    given = {"labels": "multi", "label_column": NAMES, "batch_size": 8, **settings}
    return data_module(folder, table() if text is None else text, **given)


def divided(folder: Path, text: str | None = None, **settings: Any) -> DrugRecords:
    made = module(folder, text, **settings)
    made.setup("test" if settings.get("split") == "all" else "fit")
    return made.records


def values_of(text: str) -> NDArray[Any]:
    rows = [line.split(",")[2:5] for line in text.splitlines()[1:]]
    return numpy.array([[-1 if cell == "" else int(cell) for cell in row] for row in rows])


def counted(records: DrugRecords, rows: Sequence[int], values: Sequence[int]) -> tuple[int, ...]:
    """How many different samples of some rows have one of these values of each label, by a loop."""
    return tuple(
        len({int(records.samples[row]) for row in rows if records.codes[row, label] in values}) for label in range(3)
    )


# Counts


def test_labels_are_counted_by_different_samples_or_by_rows(tmp_path: Path) -> None:
    text = table(copies=2)
    found = {}
    for count_by in ("samples", "rows"):
        kind: CountBy = "samples" if count_by == "samples" else "rows"
        records = divided(tmp_path, text, count_by=kind)
        assert records.is_multilabel
        assert records.codes.tolist() == values_of(text).tolist()
        train = records.rows["train"]
        if kind == "samples":
            assert records.class_counts == counted(records, train.tolist(), [1])
            assert records.known_counts == counted(records, train.tolist(), [0, 1])
        else:
            assert records.class_counts == tuple((records.codes[train] == 1).sum(axis=0))
            assert records.known_counts == tuple((records.codes[train] >= 0).sum(axis=0))
        found[kind] = records.class_counts, records.known_counts
    # Each molecule is there twice, and both rows are in the same split.
    assert [[2 * number for number in own] for own in found["samples"]] == [list(own) for own in found["rows"]]


def test_the_task_knows_both_counts(tmp_path: Path) -> None:
    made = module(tmp_path)
    made.setup("fit")
    assert made.task.class_counts == made.records.class_counts
    assert made.task.known_counts == made.records.known_counts
    assert made.task.is_multilabel
    assert made.task.classes == tuple(NAMES)


def test_a_sample_of_which_one_row_knows_a_label_is_known_to_have_it(tmp_path: Path) -> None:
    rows = {"train": numpy.arange(5), "validation": numpy.arange(0), "test": numpy.arange(0)}
    codes = numpy.array([[1, -1], [-1, -1], [0, 1], [0, -1], [1, 0]], dtype=numpy.int8)
    records = DrugRecords(("a", "b"), rows, codes, numpy.array([7, 7, 7, 3, 3]))  # type: ignore[arg-type]
    assert records.class_counts == (2, 1)
    assert records.known_counts == (2, 2)
    none = DrugRecords(("a", "b"), {**rows, "train": numpy.arange(0)}, codes, numpy.zeros(5))  # type: ignore[dict-item]
    assert none.class_counts == none.known_counts == (0, 0)


def test_rows_count_for_their_rarest_label_when_labels_are_drawn(tmp_path: Path) -> None:
    records = divided(tmp_path)
    codes = records.codes[records.rows["train"]]
    counts = records.class_counts
    expected = []
    for row in codes.tolist():
        own = [label for label, value in enumerate(row) if value == 1]
        expected.append(min(own, key=lambda label: counts[label]) if own else 3)
    assert records.sampled_codes(codes).tolist() == expected
    assert set(expected) == {0, 1, 2, 3}


def test_labels_are_drawn_equally_often(tmp_path: Path) -> None:
    made = module(tmp_path, sampling=PowerSampling(0))
    made.setup("fit")
    batches = list(made.train_dataloader())
    rows = made.records.rows["train"]
    places = numpy.concatenate([batch.sample_index.numpy() for batch in batches])
    assert len(places) == len(rows)
    drawn = numpy.bincount(made.records.sampled_codes(made.records.codes[rows])[places], minlength=4)
    assert drawn.max() - drawn.min() <= 1


def test_sizes_leave_out_labels_that_training_has_not(tmp_path: Path) -> None:
    records = divided(tmp_path, table(copies=2))
    rows = records.rows["test"]
    sizes = {"rows": len(rows), "samples": len(rows) // 2, "unseen_rows": 0}
    assert records.sizes(rows, records.class_counts) == {**sizes, "unseen_classes": 0}
    assert records.sizes(rows, (0, 5, 0)) == {**sizes, "unseen_classes": 2}


# Batches


def test_batches_have_a_column_of_labels_each_and_say_what_is_not_known(tmp_path: Path) -> None:
    made = module(tmp_path)
    made.setup("fit")
    expected = values_of(table())
    for loader, name in ((made.val_dataloader(), "validation"), (made.test_dataloader(), "test")):
        for batch in loader:
            assert batch.labels.shape == (len(batch.sample_index), 3)
            assert batch.labels.tolist() == expected[batch.sample_index.numpy()].tolist()
        assert len(made.records.rows[name])  # type: ignore[index]
    train = made.records.rows["train"]
    for batch in made.train_dataloader():
        assert batch.labels.tolist() == expected[train[batch.sample_index.numpy()]].tolist()
    assert -1 in expected[train]


def test_a_column_of_lists_is_read_with_a_separator_and_a_single_name_in_brackets(tmp_path: Path) -> None:
    rows = [[name for name, value in zip(NAMES, row, strict=True) if value == 1] for row in values_of(table()).tolist()]
    smiles = [line.split(",")[1] for line in table().splitlines()[1:]]
    usable = [(one, own) for one, own in zip(smiles, rows, strict=True) if own]
    text = "smiles,kinds\n" + "".join(f"{one},{'/'.join(own)}\n" for one, own in usable)
    for column in ("kinds", ["kinds"]):
        records = divided(tmp_path, text, label_column=column, label_separator="/")
        assert records.classes == tuple(NAMES)
        assert records.codes.tolist() == [[int(name in own) for name in NAMES] for _, own in usable]


def test_several_columns_of_a_single_label_are_refused(tmp_path: Path) -> None:
    message = (
        r"^data\.label_column: expected one column with data\.labels single, got \['amine', 'ether', 'ring'\]; set "
    )
    with pytest.raises(InputError, match=message):
        divided(tmp_path, labels="single")


# Splits


def test_the_random_split_and_the_folds_are_the_stratified_ones(tmp_path: Path) -> None:
    records = divided(tmp_path, table(copies=2), split_seed=3)
    expected = stratified_label_split(records.codes, records.samples, (0.7, 0.1, 0.2), 3)
    for code, name in enumerate(("train", "validation", "test")):
        assert records.rows[name].tolist() == numpy.flatnonzero(expected == code).tolist()  # type: ignore[index]
    records = divided(tmp_path, table(copies=2), split_seed=3, folds=4, fold=1)
    tested = stratified_label_folds(records.codes, records.samples, 4, 3).tested
    assert records.folds is not None
    assert records.folds.tolist() == tested.tolist()
    assert records.rows["test"].tolist() == numpy.flatnonzero(tested == 1).tolist()
    assert records.rows["train"].tolist() == numpy.flatnonzero(tested != 1).tolist()


def test_no_molecule_is_in_two_splits(tmp_path: Path) -> None:
    for settings in ({}, {"split": "scaffold"}, {"folds": 3, "fold": 0}):
        records = divided(tmp_path, table(copies=2), **settings)
        parts = [set(records.samples[records.rows[name]].tolist()) for name in ("train", "test")]
        assert not parts[0] & parts[1]
        assert all(parts)


def test_a_scaffold_is_in_one_split(tmp_path: Path) -> None:
    records = divided(tmp_path, split="scaffold")
    smiles = [line.split(",")[1] for line in table().splitlines()[1:]]
    assert sorted(numpy.concatenate(list(records.rows.values())).tolist()) == list(range(64))
    for ring in map(ring_of, range(3)):
        own = {row for row, one in enumerate(smiles) if one.startswith(ring)}
        assert any(own <= set(rows.tolist()) for rows in records.rows.values())


def test_a_column_of_splits_is_taken_as_it_is(tmp_path: Path) -> None:
    records = divided(tmp_path, split="file", split_column="group")
    given = [line.split(",")[-1] for line in table().splitlines()[1:]]
    for name, rows in records.rows.items():
        assert rows.tolist() == [row for row, part in enumerate(given) if part == name]


def test_all_puts_every_row_into_each_split(tmp_path: Path) -> None:
    records = divided(tmp_path, split="all")
    assert all(rows.tolist() == list(range(64)) for rows in records.rows.values())


def test_the_listing_has_the_labels_of_each_row(tmp_path: Path) -> None:
    made = module(tmp_path)
    made.setup("fit")
    listed = polars.read_csv(tmp_path / "run" / "splits.csv")
    expected = [
        "; ".join(name for name, value in zip(NAMES, row, strict=True) if value == 1) or "none"
        for row in values_of(table()).tolist()
    ]
    assert listed["row"].to_list() == list(range(1, 65))
    assert listed["label"].to_list() == expected
    assert listed["id"].to_list() == [f"drug {row}" for row in range(64)]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"split": "standard"},
            r"data\.split: expected random, scaffold, cold, file or all with data\.labels multi, got standard, which "
            r"balances classes of single labels\.",
        ),
        ({"imbalance": 10.0}, r"data\.imbalance: expected null with data\.labels multi, got 10\."),
    ],
)
def test_splits_for_single_labels_are_refused(settings: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"^{message}$"):
        divided(tmp_path, **settings)


def test_labels_without_a_sample_in_a_split_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    lines = [line.split(",") for line in table().splitlines()[1:]]
    for line in lines:
        line[4] = "1" if line[0] == "drug 1" else "0"
    text = "\n".join([table().splitlines()[0], *(",".join(line) for line in lines)]) + "\n"
    with caplog.at_level(logging.INFO, "tailmol"):
        divided(tmp_path, text)
    told = "1 of 3 labels has no sample in the {} split and is left out of its averages: ring."
    assert [told.format(name) for name in ("validation", "test")] == [
        message for message in caplog.messages if "left out" in message
    ]
    assert any(": 3 labels of 1 to " in message for message in caplog.messages)


def test_a_split_without_a_label_to_rank_is_refused(tmp_path: Path) -> None:
    lines = table().splitlines()
    header = lines[0].split(",")
    rows = [dict(zip(header, line.split(","), strict=True)) for line in lines[1:]]
    for row in rows:
        if row["group"] == "validation":
            row |= {"amine": "1", "ether": "0", "ring": ""}
    text = "\n".join([lines[0], *(",".join(row.values()) for row in rows)])
    message = (
        r"^data\.split: expected a label that some samples of the validation split have and others do not have, got"
    )
    with pytest.raises(InputError, match=message):
        divided(tmp_path, text, split="file", split_column="group")
