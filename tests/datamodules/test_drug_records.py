import logging
from collections.abc import Sequence
from pathlib import Path

import numpy
import polars
import pytest
from rdkit import Chem

from datamodules import drug_records
from datamodules.drug_records import (
    DrugRecords,
    FeaturedTable,
    check_rejected,
    divide,
    featurise_table,
    reject_unusable,
    rejected_rows,
)
from datamodules.drug_table import InputError, InputKind, read_table
from datamodules.molecule_features import Features, FeatureSettings, featurise
from datamodules.splits import SplitMethod

FRACTIONS = (0.7, 0.1, 0.2)
HEADER = "smiles,label\n"
MIXED = HEADER + "CCO,a\nOCC,a\nC1CC,a\n,b\nCC,\nCC,b,x\nC(C)O,b\nCCC,b\n"


def load(folder: Path, text: str, kind: InputKind = "molecule", split_column: str | None = None) -> FeaturedTable:
    path = folder / "drugs.csv"
    path.write_text(text)
    table = read_table(path, kind, split_column=split_column, need_splits=split_column is not None)
    return featurise_table(table, FeatureSettings(2, 64), folder / "cache")


def chains(sizes: dict[str, int], copies: int = 1) -> str:
    """A table of alkanes, all of another length, each given `copies` times, in classes of these sizes."""
    labels = [label for label, size in sizes.items() for _ in range(size)]
    return HEADER + "".join(f"{'C' * length},{label}\n" * copies for length, label in enumerate(labels, start=1))


def split(
    featured: FeaturedTable, method: SplitMethod = "random", classes: tuple[str, ...] | None = None, seed: int = 0
) -> DrugRecords:
    return divide(featured, reject_unusable(featured, classes), method, FRACTIONS, seed, classes)


# Features


def test_structures_are_canonical_and_rows_keep_their_reasons(tmp_path: Path) -> None:
    featured = load(tmp_path, MIXED)
    assert featured.structures == [(text,) for text in ("CCO", "CCO", "", "", "CC", "CC", "CCO", "CCC")]
    assert featured.reasons == [
        None,
        None,
        "SMILES that RDKit cannot read in column smiles",
        "empty SMILES in column smiles",
        "missing label in column label",
        "row has 3 fields where the header has 2",
        None,
        None,
    ]


def test_a_reaction_names_the_column_that_cannot_be_read(tmp_path: Path) -> None:
    featured = load(tmp_path, "reactants,product,y\nCC.O,CCO,1\nCC,C1,1\nC1,CC,1\nC1,C1,1\nC1,,1\n", "reaction")
    unreadable = "SMILES that RDKit cannot read in column"
    assert featured.structures[0] == ("CC.O", "CCO")
    assert featured.reasons == [
        None,
        f"{unreadable} product",
        f"{unreadable} reactants",
        f"{unreadable} reactants",
        "empty SMILES in column product",
    ]


def test_the_store_serves_each_row_its_own_molecules(tmp_path: Path) -> None:
    featured = load(tmp_path, "x1,x2,y\nCCO,C,1\nC,CCO,1\nCCO,CCO,1\n", "pair")
    rows = numpy.array([1, 2, 0])
    batch = featured.store.batch(rows, rows, rows)
    assert batch.atoms_per_molecule.tolist() == [1, 3, 3, 3, 3, 1]


def test_a_smiles_is_featurised_once_and_not_at_all_the_second_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def counted(smiles: Sequence[str], settings: FeatureSettings) -> Features:
        featurised.append(list(smiles))
        return featurise(smiles, settings)

    featurised: list[list[str]] = []
    monkeypatch.setattr(drug_records, "featurise", counted)
    first = load(tmp_path, HEADER + "CCO,a\nC,b\nCCO,a\nOCC,a\n,b\n")
    assert featurised == [["", "CCO", "C", "OCC"]]
    assert load(tmp_path, HEADER + "CCO,a\nC,b\nCCO,a\nOCC,a\n,b\n").structures == first.structures
    assert len(featurised) == 1
    load(tmp_path, HEADER + "CCO,a\nC,b\nCCO,a\nOCC,a\nN,b\n")
    assert featurised[1:] == [["", "CCO", "C", "OCC", "N"]]


# Rejected rows


def test_duplicates_are_found_by_structure_and_contradictions_rejected(tmp_path: Path) -> None:
    reasons = reject_unusable(load(tmp_path, MIXED), None)
    conflict = "conflicting duplicate: the structure of row 1 has the labels a, b"
    assert [reasons[row] for row in (0, 1, 6)] == [conflict] * 3
    assert reasons[7] is None


def test_a_rejected_row_contradicts_nobody(tmp_path: Path) -> None:
    featured = load(tmp_path, HEADER + "CC,a\nCC,b,x\nCC,\nCC,a\n")
    reasons = reject_unusable(featured, None)
    assert [reason is None for reason in reasons] == [True, False, False, True]
    assert featured.reasons[0] is None


def test_a_trained_model_rejects_the_labels_it_does_not_know(tmp_path: Path) -> None:
    featured = load(tmp_path, HEADER + "CC,a\nCCC,new\nCC,new\nC1,other\n")
    assert reject_unusable(featured, ("a", "b")) == [
        None,
        "label 'new' is not a class of the trained model",
        "label 'new' is not a class of the trained model",
        "SMILES that RDKit cannot read in column smiles",
    ]


def test_rejected_rows_stand_as_given_behind_number_and_reason(tmp_path: Path) -> None:
    featured = load(tmp_path, "id,reason,smiles,row,label\n7, why ,C1CC,x,a\n8,,CC,y,b\n9,,,z,\n")
    frame = rejected_rows(featured.table, featured.reasons)
    assert frame.columns == ["row", "reason", "id", "reason (given)", "smiles", "row (given)", "label"]
    assert frame.rows() == [
        (1, "SMILES that RDKit cannot read in column smiles", "7", " why ", "C1CC", "x", "a"),
        (3, "empty SMILES in column smiles", "9", "", "", "z", ""),
    ]


def test_without_rejects_the_listing_has_its_columns_still(tmp_path: Path) -> None:
    frame = rejected_rows(load(tmp_path, chains({"a": 2})).table, [None, None])
    assert frame.shape == (0, 4)
    assert frame.write_csv() == "row,reason,smiles,label\n"


def test_columns_that_csv_cannot_hold_are_left_out(tmp_path: Path) -> None:
    values = {
        "smiles": ["C1", "CC"],
        "y": [1, 2],
        "vector": [[0.5], [1.5]],
        "raw": [b"\xff", b""],
        "both": [{"a": 1}] * 2,
    }
    polars.DataFrame(values).write_parquet(tmp_path / "drugs.parquet")
    featured = featurise_table(read_table(tmp_path / "drugs.parquet"), FeatureSettings(), tmp_path)
    for reasons in (featured.reasons, [None, None]):
        frame = rejected_rows(featured.table, reasons)
        assert frame.columns == ["row", "reason", "smiles", "y"]
        assert frame.write_csv().count("\n") == 1 + sum(reason is not None for reason in reasons)


@pytest.mark.parametrize(("rejected", "allowed"), [(0, 0.0), (5, 0.05), (99, 1.0), (1, 0.01)])
def test_rejects_within_the_limit_are_logged(rejected: int, allowed: float, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "tailmol"):
        check_rejected([None] * (100 - rejected) + ["no SMILES"] * rejected, allowed, "out/rejected.csv")
    expected = (
        f"{rejected} of 100 rows cannot be used, the first is row {101 - rejected}: no SMILES; "
        "all are in out/rejected.csv."
    )
    assert caplog.messages == ([expected] if rejected else [])


@pytest.mark.parametrize(
    ("rejected", "allowed", "share"), [(6, 0.05, "5%"), (1, 0.0, "0%"), (100, 1.0, "100%"), (100, 0.5, "50%")]
)
def test_more_rejects_stop_the_run(rejected: int, allowed: float, share: str) -> None:
    reasons = [None] * (100 - rejected) + ["no SMILES"] * rejected
    message = rf"^{rejected} of 100 rows .* all are in out/rejected\.csv\. data\.max_rejected allows {share}\.$"
    with pytest.raises(InputError, match=message):
        check_rejected(reasons, allowed, "out/rejected.csv")


# Classes and splits


def test_codes_are_places_in_the_classes(tmp_path: Path) -> None:
    featured = load(tmp_path, chains({"10": 4, "9": 3, "x": 5}) + "C1,10\n")
    records = split(featured)
    assert records.classes == ("9", "10", "x")
    assert records.codes.dtype == numpy.int64
    assert records.codes.tolist() == [1] * 4 + [0] * 3 + [2] * 5 + [-1]
    assert records.class_counts == (1, 2, 3)


def test_usable_rows_are_divided_in_order_without_rest(tmp_path: Path) -> None:
    featured = load(tmp_path, chains({"a": 20, "b": 9}) + "C1,a\n")
    records = split(featured)
    assert list(records.rows) == ["train", "validation", "test"]
    rows = [row for part in records.rows.values() for row in part.tolist()]
    assert sorted(rows) == list(range(29))
    for part in records.rows.values():
        assert part.dtype == numpy.int64
        assert part.tolist() == sorted(part.tolist())
    assert {name: len(part) for name, part in records.rows.items()} == {"train": 20, "validation": 3, "test": 6}


@pytest.mark.parametrize("seed", range(4))
def test_other_spellings_of_a_structure_stay_in_its_split(seed: int, tmp_path: Path) -> None:
    spellings = []
    for length in range(2, 22):
        molecule = Chem.MolFromSmiles("C" * length + "O")
        label = "ab"[length % 2]
        spellings += [
            f"{Chem.MolToSmiles(molecule, rootedAtAtom=atom, canonical=False)},{label}\n" for atom in (0, 1, length)
        ]
    featured = load(tmp_path, HEADER + "".join(spellings))
    records = split(featured, seed=seed)
    structures = [{featured.structures[row] for row in rows} for rows in records.rows.values()]
    assert sum(map(len, structures)) == len(set().union(*structures)) == 20
    assert sum(map(len, records.rows.values())) == 60


def test_the_seed_changes_the_split(tmp_path: Path) -> None:
    featured = load(tmp_path, chains({"a": 20, "b": 9}))
    assert split(featured, seed=1).rows["test"].tolist() == split(featured, seed=1).rows["test"].tolist()
    assert split(featured, seed=1).rows["test"].tolist() != split(featured, seed=2).rows["test"].tolist()


SPLIT_TABLE = "smiles,label,fold\nC,a,Train\nCC,b,train\nC1,a,holdout\nCCC,a,val\nCCCC,b,test\nCCCCC,b,dev\n"


def test_a_split_file_is_followed(tmp_path: Path) -> None:
    records = split(load(tmp_path, SPLIT_TABLE, split_column="fold"), "file")
    assert {name: rows.tolist() for name, rows in records.rows.items()} == {
        "train": [0, 1],
        "validation": [3, 5],
        "test": [4],
    }
    assert records.class_counts == (1, 1)


def test_a_split_without_rows_is_named(tmp_path: Path) -> None:
    featured = load(tmp_path, SPLIT_TABLE.replace("val", "train").replace("dev", "test"), split_column="fold")
    with pytest.raises(InputError, match="the validation split has no rows; 5 usable rows are too few for it"):
        split(featured, "file")
    with pytest.raises(InputError, match="the validation split has no rows; 4 usable rows are too few for it"):
        split(load(tmp_path, chains({"a": 2, "b": 2})))


def test_an_unknown_split_is_refused(tmp_path: Path) -> None:
    featured = load(tmp_path, SPLIT_TABLE.replace("dev", "later"), split_column="fold")
    with pytest.raises(InputError, match=r"data\.split_column: expected train, validation or test, got 'later'"):
        split(featured, "file")


def test_a_single_class_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"data\.label_column: column 'label' has the single class 'a'; expected two"):
        split(load(tmp_path, chains({"a": 9})))


def test_the_classes_of_a_trained_model_keep_their_codes(tmp_path: Path) -> None:
    records = split(load(tmp_path, chains({"b": 5, "d": 4})), classes=("d", "c", "b"))
    assert records.classes == ("d", "c", "b")
    assert records.codes.tolist() == [2] * 5 + [0] * 4
    assert records.class_counts == (2, 0, 3)


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
