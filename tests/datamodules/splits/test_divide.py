"""Division of the rows of a table."""

import logging
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy
import pytest
from rdkit import Chem

from base.errors import InputError
from datamodules.chemistry.molecule_features import FeatureSettings
from datamodules.features import FeaturedTable, featurize_table
from datamodules.identity import identify
from datamodules.records import reject_unusable
from datamodules.splits.divide import DrugRecords, divide
from datamodules.splits.split_check import check_split
from datamodules.splits.split_settings import SplitSettings
from datamodules.splits.splitters import SplitMethod, SplitPart
from datamodules.tables.columns import ColumnNames, InputKind
from datamodules.tables.source_table import read_table

HEADER = "smiles,label\n"
METHODS: list[SplitMethod] = ["random", "standard", "scaffold", "cold"]


def load(folder: Path, text: str, kind: InputKind = "molecule", split_column: str | None = None) -> FeaturedTable:
    path = folder / "drugs.csv"
    path.write_text(text)
    table = read_table(path, kind, ColumnNames(split=split_column), need_splits=split_column is not None)
    return featurize_table(table, FeatureSettings(2, 64))


def chains(sizes: dict[str, int], copies: int = 1) -> str:
    """A table of alkanes, all of another length, each given `copies` times, in classes of these sizes."""
    labels = [label for label, size in sizes.items() for _ in range(size)]
    return HEADER + "".join(f"{'C' * length},{label}\n" * copies for length, label in enumerate(labels, start=1))


def split(
    featured: FeaturedTable,
    method: SplitMethod = "random",
    classes: tuple[str, ...] | None = None,
    seed: int = 0,
    part: SplitPart = "first",
    ordered_pairs: bool = True,
) -> DrugRecords:
    """Divide a table and check the split."""
    settings = SplitSettings(method, seed, part=part)
    with TemporaryDirectory() as folder:
        identity = identify(featured, "parent", ordered_pairs, Path(folder))
        records = divide(featured, reject_unusable(featured, identity, classes), identity, settings, classes)
        check_split(featured.table, identity, records, settings)
    return records


def rows_of(records: DrugRecords) -> dict[str, list[int]]:
    return {name: rows.tolist() for name, rows in records.rows.items()}


# Classes


def test_codes_are_places_in_the_classes(tmp_path: Path) -> None:
    records = split(load(tmp_path, chains({"10": 4, "9": 3, "x": 5}) + "C1,10\n"))
    assert records.classes == ("9", "10", "x")
    assert records.codes.dtype == numpy.int64
    assert records.codes.tolist() == [1] * 4 + [0] * 3 + [2] * 5 + [-1]
    assert records.class_counts == (1, 2, 3)


def test_the_classes_of_a_trained_model_keep_their_codes(tmp_path: Path) -> None:
    records = split(load(tmp_path, chains({"b": 5, "d": 4})), classes=("d", "c", "b"))
    assert records.classes == ("d", "c", "b")
    assert records.codes.tolist() == [2] * 5 + [0] * 4
    assert records.class_counts == (2, 0, 3)


def test_a_single_class_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        InputError,
        match=r"data\.label_column: expected two or more classes in column 'label', got the single class 'a'\.",
    ):
        split(load(tmp_path, chains({"a": 9})))


def test_classes_without_a_sample_in_a_split_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "tailmol"):
        split(load(tmp_path, chains({"a": 10, "b": 2, "c": 1, "d": 3})))
    told = "2 of 4 classes have no sample in the {} split and are left out of its averages: b, c."
    assert caplog.messages == [told.format("validation"), told.format("test")]


def test_a_long_list_of_missing_classes_is_cut(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "tailmol"):
        split(load(tmp_path, chains({"0": 9, **{str(label): 1 for label in range(1, 14)}})))
    assert caplog.messages[0].endswith("averages: 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 and 3 more.")


def test_complete_splits_say_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "tailmol"):
        split(load(tmp_path, chains({"a": 3, "b": 3}, copies=2)))
    assert caplog.messages == []


# Any split


@pytest.mark.parametrize("method", METHODS)
def test_usable_rows_are_divided_in_order_without_rest(method: SplitMethod, tmp_path: Path) -> None:
    rings = "".join(f"{'C' * length}c1ccccc1{'N' * (length % 3)},{'ab'[length % 2]}\n" for length in range(9))
    featured = load(tmp_path, chains({"a": 20, "b": 9}) + rings.replace("c1ccccc1", "C1CCC1") + rings + "C1,a\n")
    records = split(featured, method)
    assert list(records.rows) == ["train", "validation", "test"]
    assert sorted(row for rows in rows_of(records).values() for row in rows) == list(range(47))
    for part in records.rows.values():
        assert part.dtype == numpy.int64
        assert part.tolist() == sorted(part.tolist())


def test_a_random_split_has_the_rounded_shares_of_each_class(tmp_path: Path) -> None:
    records = split(load(tmp_path, chains({"a": 20, "b": 9}) + "C1,a\n"))
    assert {name: len(rows) for name, rows in records.rows.items()} == {"train": 20, "validation": 3, "test": 6}


def test_a_standard_split_tests_as_many_of_each_class(tmp_path: Path) -> None:
    records = split(load(tmp_path, chains({"a": 60, "b": 15, "c": 2})), "standard")
    counts = {name: numpy.bincount(records.codes[rows], minlength=3).tolist() for name, rows in records.rows.items()}
    assert counts == {"train": [55, 10, 2], "validation": [2, 2, 0], "test": [3, 3, 0]}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("seed", range(3))
def test_other_spellings_of_a_structure_stay_in_its_split(method: SplitMethod, seed: int, tmp_path: Path) -> None:
    text, rings = HEADER, ["C1CC1"] * 4 + ["C1CCC1"] * 3 + ["c1ccccc1"] * 3 + ["C1CCCC1"] * 2 + [""] * 8
    for length, ring in enumerate(rings, start=2):
        molecule = Chem.MolFromSmiles(f"{'C' * length}O{ring}")
        for atom in (0, 1, length):
            text += f"{Chem.MolToSmiles(molecule, rootedAtAtom=atom, canonical=False)},{'ab'[length % 2]}\n"
    featured = load(tmp_path, text)
    records = split(featured, method, seed=seed)
    skeletons = [set(featured.skeletons[rows, 0].tolist()) for rows in records.rows.values()]
    assert sum(map(len, skeletons)) == len(set().union(*skeletons)) == 20
    assert sum(map(len, records.rows.values())) == 60


@pytest.mark.parametrize("method", ["random", "standard", "cold"])
def test_the_seed_changes_the_split(method: SplitMethod, tmp_path: Path) -> None:
    featured = load(tmp_path, chains({"a": 20, "b": 9}))
    assert rows_of(split(featured, method, seed=1)) == rows_of(split(featured, method, seed=1))
    assert rows_of(split(featured, method, seed=1)) != rows_of(split(featured, method, seed=2))


def test_a_split_without_rows_is_named(tmp_path: Path) -> None:
    featured = load(tmp_path, SPLIT_TABLE.replace("val", "train").replace("dev", "test"), split_column="fold")
    with pytest.raises(InputError, match="expected rows in every split, got none for validation of 5 usable rows"):
        split(featured, "file")
    with pytest.raises(InputError, match="expected rows in every split, got none for validation of 4 usable rows"):
        split(load(tmp_path, chains({"a": 2, "b": 2})))


# Scaffolds


def test_the_largest_scaffold_trains_and_none_is_shared(tmp_path: Path) -> None:
    rings = {"C1CC1": 3, "c1ccccc1": 14, "C1CCC1": 2, "": 1}
    rows = [f"{'C' * (length + 1)}{ring}" for ring, size in rings.items() for length in range(size)]
    text = HEADER + "".join(f"{smiles},{'ab'[row % 2]}\n" for row, smiles in enumerate(rows))
    records = split(load(tmp_path, text), "scaffold")
    assert rows_of(records) == {"train": list(range(3, 17)), "validation": [17, 18], "test": [0, 1, 2, 19]}


def test_of_pairs_either_column_gives_the_scaffolds(tmp_path: Path) -> None:
    rings = ["C1CC1", "C1CCC1", "C1CCCC1", "C1CCCCC1", "c1ccccc1"]
    rows = [(rings[row % 5], rings[row // 5]) for row in range(25)]
    featured = load(tmp_path, "x1,x2,y\n" + "".join(f"C{a},N{b},{a == b}\n" for a, b in rows), "pair")
    parts: list[SplitPart] = ["first", "second"]
    for column, part in enumerate(parts):
        records = split(featured, "scaffold", part=part)
        found = [{rows[row][column] for row in members} for members in records.rows.values()]
        assert sum(map(len, found)) == len(set().union(*found)) == 5
    with pytest.raises(InputError, match=r"data\.split_part: expected first or second for a scaffold split, got both"):
        split(featured, "scaffold", part="both")


# Cold drugs


@pytest.mark.parametrize("part", ["first", "second", "both"])
def test_cold_drugs_of_pairs_are_new_to_the_model(
    part: SplitPart, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rows = [(first, second) for first in range(1, 21) for second in range(1, 21)]
    text = "x1,x2,y\n" + "".join(f"{'C' * a},{'C' * b}O,{(a + b) % 2}\n" for a, b in rows)
    featured = load(tmp_path, text, "pair")
    with caplog.at_level(logging.WARNING, "tailmol"):
        records = split(featured, "cold", part=part, seed=1)
    columns = {"first": [0], "second": [1], "both": [0, 1]}[part]
    trained = set(featured.skeletons[records.rows["train"]].ravel().tolist())
    for name, members in rows_of(records).items():
        assert name == "train" or trained.isdisjoint(featured.skeletons[members][:, columns].ravel().tolist())
    sizes = [len(members) for members in records.rows.values()]
    if part == "both":
        # Forty drugs are divided, so how many pairs of them stay together depends on the seed.
        told = f"{400 - sum(sizes)} of 400 rows belong to no split, because they would be in two of them."
        assert caplog.messages == [told]
        assert min(sizes) > 0
    else:
        assert sizes == [14 * 20, 2 * 20, 4 * 20]
        assert caplog.messages == []


def test_a_drug_is_the_same_on_both_sides(tmp_path: Path) -> None:
    rows = [(first, second) for first in range(1, 11) for second in range(1, 11)]
    text = "x1,x2,y\n" + "".join(f"{'C' * a},{'C' * b},{(a + b) % 2}\n" for a, b in rows)
    records = split(load(tmp_path, text, "pair"), "cold")
    trained = {drug for row in rows_of(records)["train"] for drug in rows[row]}
    assert len(trained) == 7
    assert [len(members) for members in records.rows.values()] == [7 * 7, 1 * 10, 2 * 10]


# Given splits


SPLIT_TABLE = "smiles,label,fold\nC,a,Train\nCC,b,train\nC1,a,holdout\nCCC,a,val\nCCCC,b,test\nCCCCC,b,dev\n"


def test_a_split_file_is_followed(tmp_path: Path) -> None:
    records = split(load(tmp_path, SPLIT_TABLE, split_column="fold"), "file")
    assert rows_of(records) == {"train": [0, 1], "validation": [3, 5], "test": [4]}
    assert records.class_counts == (1, 1)


def test_an_unknown_split_is_refused(tmp_path: Path) -> None:
    featured = load(tmp_path, SPLIT_TABLE.replace("dev", "later"), split_column="fold")
    with pytest.raises(InputError, match=r"data\.split_column: expected train, validation or test, got 'later'"):
        split(featured, "file")


def test_all_puts_every_usable_row_in_every_split(tmp_path: Path) -> None:
    records = split(load(tmp_path, HEADER + "C,a\nC1,a\nCC,b\nCCC,a\n"), "all")
    assert rows_of(records) == {"train": [0, 2, 3], "validation": [0, 2, 3], "test": [0, 2, 3]}
    assert records.class_counts == (2, 1)
