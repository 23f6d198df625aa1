"""The check of a finished split: each splitter is broken on purpose."""

from pathlib import Path

import numpy
import pytest
from numpy.typing import NDArray

from datamodules.chemistry.molecule_features import FeatureSettings
from datamodules.features import FeaturedTable, featurize_table
from datamodules.identity import SampleIdentity, identify
from datamodules.records import reject_unusable
from datamodules.splits import divide as divide_module
from datamodules.splits.divide import DrugRecords, divide
from datamodules.splits.split_check import BrokenSplit, check_split
from datamodules.splits.split_parts import split_sides
from datamodules.splits.split_settings import SplitSettings
from datamodules.splits.splitters import SplitMethod, SplitPart
from datamodules.tables.columns import ColumnNames, InputKind
from datamodules.tables.source_table import read_table

RINGS = ["", "C1CC1", "C1CCC1", "C1CCCC1", "C1CCCCC1", "c1ccccc1", "c1ccncc1", "c1ccsc1", "c1ccoc1", "C1CCNC1"]
# Each drug and its salt, in two classes.
DRUGS = "smiles,label\n" + "".join(
    f"{'C' * (size + 1)}N{ring}{salt},{'ab'[size % 2]}\n" for ring in RINGS for size in range(6) for salt in ("", ".Cl")
)
PAIRS = "x1,x2,label\n" + "".join(
    f"{'C' * a}O{RINGS[a % 10]},{'C' * b}O{RINGS[b % 10]},{'ab'[(a + b) % 2]}\n"
    for a in range(1, 21)
    for b in range(1, 21)
)
SPLITTER: dict[SplitMethod, str] = {
    "random": "random_split",
    "standard": "standard_split",
    "scaffold": "scaffold_split",
    "cold": "cold_split",
}


def make(
    folder: Path, text: str, split: SplitSettings, kind: InputKind = "molecule", ordered: bool = False
) -> tuple[FeaturedTable, SampleIdentity, DrugRecords]:
    path = folder / "drugs.csv"
    path.write_text(text)
    names = ColumnNames(split="split" if split.method == "file" else None)
    featured = featurize_table(
        read_table(path, kind, names, need_splits=split.method == "file"), FeatureSettings(1, 16)
    )
    identity = identify(featured, "parent", ordered, folder / "cache")
    return featured, identity, divide(featured, reject_unusable(featured, identity, None), identity, split, None)


def check(folder: Path, text: str, split: SplitSettings, kind: InputKind = "molecule", ordered: bool = False) -> str:
    featured, identity, records = make(folder, text, split, kind, ordered)
    return check_split(featured.table, identity, records, split).sentence


@pytest.mark.parametrize(
    ("method", "sentence"),
    [
        ("random", "no sample is in two splits, every class of three samples or more is in each split"),
        ("standard", "no sample is in two splits, 6 rows of each class in validation, 12 rows of each class in test"),
        ("scaffold", "no sample is in two splits, and no scaffold"),
        ("cold", "no sample is in two splits, no cold drug of validation or test is in training"),
    ],
)
def test_a_good_split_says_what_was_checked(method: SplitMethod, sentence: str, tmp_path: Path) -> None:
    assert check(tmp_path, DRUGS, SplitSettings(method)) == f"The {method} split was checked: {sentence}."


@pytest.mark.parametrize("method", SPLITTER)
def test_a_splitter_that_parts_salt_and_drug_is_stopped(
    method: SplitMethod, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = getattr(divide_module, SPLITTER[method])

    def broken(*given: object) -> NDArray[numpy.int64]:
        splits: NDArray[numpy.int64] = original(*given)
        row = int(numpy.flatnonzero(splits == 2)[0])
        splits[row] = 0
        return splits

    monkeypatch.setattr(divide_module, SPLITTER[method], broken)
    with pytest.raises(BrokenSplit, match=f"the {method} split is broken: 1 samples are in two splits"):
        check(tmp_path, DRUGS, SplitSettings(method))


def moved(records: DrugRecords, rows: list[int], target: str) -> DrugRecords:
    """The split with some rows in another part."""
    parts = {name: numpy.setdiff1d(own, rows) for name, own in records.rows.items()}
    parts |= {name: numpy.union1d(own, rows) for name, own in parts.items() if name == target}
    return DrugRecords(records.classes, parts, records.codes, records.samples)


def drug_rows(records: DrugRecords, identity: SampleIdentity, part: str, code: int | None = None) -> list[int]:
    """All rows of the first drug of a part, of a class if one is given."""
    rows = [row for row in records.rows[part].tolist() if code in (None, records.codes[row])]  # type: ignore[index]
    return numpy.flatnonzero(identity.samples == identity.samples[rows[0]]).tolist()


@pytest.mark.parametrize(
    ("method", "target", "message"),
    [
        ("standard", "validation", "validation has 6 to 8 of a class"),
        ("scaffold", "validation", "1 scaffolds are in two splits"),
    ],
)
def test_a_drug_in_another_split_breaks_what_was_promised(
    method: SplitMethod, target: str, message: str, tmp_path: Path
) -> None:
    split = SplitSettings(method)
    featured, identity, records = make(tmp_path, DRUGS, split)
    broken = moved(records, drug_rows(records, identity, "train"), target)
    with pytest.raises(BrokenSplit, match=f"the {method} split is broken: {message}"):
        check_split(featured.table, identity, broken, split)


def test_a_class_that_a_random_split_does_not_test_is_found(tmp_path: Path) -> None:
    split = SplitSettings("random")
    featured, identity, records = make(tmp_path, DRUGS, split)
    tested = [row for row in records.rows["test"].tolist() if records.codes[row] == 1]
    with pytest.raises(BrokenSplit, match="test has no sample of class b"):
        check_split(featured.table, identity, moved(records, tested, "train"), split)


@pytest.mark.parametrize("ordered", [False, True])
def test_a_known_drug_in_a_cold_test_row_is_found(ordered: bool, tmp_path: Path) -> None:
    split = SplitSettings("cold")
    featured, identity, records = make(tmp_path, PAIRS, split, "pair", ordered)
    assert "new drug" in check_split(featured.table, identity, records, split).sentence or ordered
    trained = drug_rows(records, identity, "train")
    message = "row [0-9]+ of test has no new drug" if not ordered else "1 rows of test have a cold drug of training"
    with pytest.raises(BrokenSplit, match=message):
        check_split(featured.table, identity, moved(records, trained, "test"), split)


def test_a_pair_without_a_new_scaffold_is_found(tmp_path: Path) -> None:
    split = SplitSettings("scaffold")
    featured, identity, records = make(tmp_path, PAIRS, split, "pair")
    assert "new scaffold" in check_split(featured.table, identity, records, split).sentence
    with pytest.raises(BrokenSplit, match=r"row [0-9]+ of test has no new scaffold"):
        check_split(featured.table, identity, moved(records, drug_rows(records, identity, "train"), "test"), split)


def test_a_training_split_that_is_not_thinned_is_found(tmp_path: Path) -> None:
    thinned = SplitSettings("random", imbalance=5)
    featured, identity, records = make(tmp_path, DRUGS, thinned)
    assert check_split(featured.table, identity, records, thinned).sentence.startswith("The random split was checked")
    _, _, whole = make(tmp_path, DRUGS, SplitSettings("random"))
    with pytest.raises(BrokenSplit, match=r"training is not thinned to data\.imbalance 5"):
        check_split(featured.table, identity, whole, thinned)


def test_a_row_in_two_splits_is_found(tmp_path: Path) -> None:
    split = SplitSettings("random")
    featured, identity, records = make(tmp_path, DRUGS, split)
    rows = {**records.rows, "test": numpy.append(records.rows["test"], records.rows["train"][0])}
    twice = DrugRecords(records.classes, rows, records.codes, records.samples)
    with pytest.raises(BrokenSplit, match="rows are in both train and test"):
        check_split(featured.table, identity, twice, split)


def test_a_split_file_is_told_what_it_shares_but_not_stopped(tmp_path: Path) -> None:
    text = "smiles,label,split\nCCN,a,train\nCCN.Cl,a,test\nCCC,b,val\nCCO,b,train\nC[CH2:3]O,b,val\n"
    split = SplitSettings("file")
    told = "The split file puts 2 of 3 different samples into two splits or more, so the metrics are too good."
    assert check(tmp_path, text, split) == told
    clean = text.replace("CCN.Cl", "CCCN").replace("C[CH2:3]O", "CCS")
    assert check(tmp_path, clean, split) == "The split file was checked: no sample is in two splits."


@pytest.mark.parametrize("part", ["first", "second", "both"])
def test_folds_train_on_no_cold_drug_of_the_test_rows_that_are_kept(part: SplitPart, tmp_path: Path) -> None:
    folds, split = SplitSettings("cold", part=part, folds=3, keep_test=True), SplitSettings("cold", part=part)
    featured, identity, records = make(tmp_path, PAIRS, folds, "pair", True)
    assert check_split(featured.table, identity, records, folds).sentence.endswith("validation or test is in training.")
    rows, drugs = make(tmp_path, PAIRS, split, "pair", True)[2].rows, identity.parts.tolist()
    tested = {drugs[row][side] for row in rows["test"].tolist() for side in split_sides(split, 2)}
    both = sorted([*rows["train"].tolist(), *rows["validation"].tolist()])
    trained = [row for row in both if not tested & set(drugs[row])]
    assert records.rows["train"].tolist() == trained
    assert records.rows["test"].tolist() == rows["test"].tolist()
    assert (len(trained) < len(both)) == (part != "both")
