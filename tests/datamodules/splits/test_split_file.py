"""Split columns that name only some of the splits, and test rows without a label."""

from __future__ import annotations

import logging
from collections import Counter
from pathlib import Path
from typing import Any

import polars
import pytest

from base.errors import InputError
from datamodules.drug_datamodule import DrugDataModule
from datamodules.splits.split_file import named_test
from datamodules.splits.split_settings import SplitSettings
from datamodules.splits.splitters import SplitName
from tests.datamodules.drug_module import ALCOHOLS, AMINES, data_module


def table(labeled: bool = True, more: str = "", train: str = "train", test: str = "Test") -> str:
    """Twenty alcohols and eight amines to train on, then the other ten and four as test rows."""
    lines = []
    for drugs, trained in ((ALCOHOLS, 20), (AMINES, 8)):
        for place, smiles in enumerate(drugs):
            tested = place >= trained
            label = smiles[-1] if labeled or not tested else ""
            lines.append(f"{smiles},{label},{test if tested else train}\n")
    return "smiles,label,split\n" + "".join(lines) + more


def made(folder: Path, text: str, **settings: Any) -> DrugDataModule:
    module = data_module(folder, text, split="file", fingerprint_size=64, **settings)
    module.setup("fit")
    return module


def sizes(module: DrugDataModule) -> dict[str, dict[str, int]]:
    """Rows of each class in each split."""
    labels = module.table.table.labels
    assert labels is not None
    return {name: dict(Counter(labels.gather(rows).to_list())) for name, rows in module.records.rows.items()}


def test_test_rows_are_found_by_name_or_fold() -> None:
    names = polars.Series(["train", "TEST", None, "test", "testing"])
    assert named_test(names, SplitSettings("file")).to_list() == [False, True, False, True, False]
    folds = polars.Series(["0", "1", None, "2", "10"])
    settings = SplitSettings("file", test_folds=("1", "2"), validation_folds=("0",))
    assert named_test(folds, settings).to_list() == [False, True, False, True, False]
    # With folds, test is the name of a fold like any other.
    assert not named_test(names, SplitSettings("file", validation_folds=("train",))).any()


def test_validation_is_a_tenth_of_each_class_of_the_training_rows(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "tailmol"):
        module = made(tmp_path, table())
    assert sizes(module) == {"train": {"O": 18, "N": 7}, "validation": {"O": 2, "N": 1}, "test": {"O": 10, "N": 4}}
    named = [row for row, line in enumerate(table().splitlines()[1:]) if line.endswith("Test")]
    assert module.records.rows["test"].tolist() == named
    assert "No usable row is named for validation, so 3 of 28 training rows are drawn for it." in caplog.messages
    again, other = (made(tmp_path, table(), split_seed=seed).records.rows["validation"].tolist() for seed in (0, 1))
    assert again == module.records.rows["validation"].tolist() != other


def test_rows_of_a_drug_are_drawn_together(tmp_path: Path) -> None:
    salts = "".join(f"{smiles}.Cl,{smiles[-1]},train\n" for smiles in (*ALCOHOLS[:20], *AMINES[:8]))
    records = made(tmp_path, table(more=salts)).records
    drawn = set(records.samples[records.rows["validation"]].tolist())
    assert len(records.rows["validation"]) == 2 * len(drawn) == 6
    assert drawn.isdisjoint(records.samples[records.rows["train"]].tolist())


@pytest.mark.parametrize(("named", "drawn"), [("test", "validation"), ("validation", "test")])
def test_a_drug_of_a_named_split_is_not_drawn_for_another(tmp_path: Path, named: SplitName, drawn: SplitName) -> None:
    # Sixteen of twenty alcohols and five of eight amines are in the named split too, as salts.
    salts = "".join(f"{smiles}.Cl,{smiles[-1]},{named}\n" for smiles in (*ALCOHOLS[:16], *AMINES[:5]))
    for seed in range(3):
        records = made(tmp_path, table(more=salts, test=named), split_seed=seed).records
        given, found = (set(records.samples[records.rows[name]].tolist()) for name in (named, drawn))
        # Of the four alcohols and three amines that are in training alone, at least one each.
        assert len(found) == len(records.rows[drawn]) == 2
        assert found.isdisjoint(given)


def test_test_rows_without_labels_are_neither_rejected_nor_tested(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "tailmol"):
        module = made(tmp_path, table(labeled=False), max_rejected=0)
    # A fifth and a tenth of twenty alcohols, and of eight amines.
    assert sizes(module) == {"train": {"O": 14, "N": 5}, "validation": {"O": 2, "N": 1}, "test": {"O": 4, "N": 2}}
    assert "14 test rows have no label and are left out of the test." in caplog.messages
    assert polars.read_csv(tmp_path / "run/rejected.csv").is_empty()
    listed = polars.read_csv(tmp_path / "run/splits.csv")
    assert set(listed["row"]) == {*range(1, 21), *range(31, 39)}


def test_other_rows_without_labels_are_rejected(tmp_path: Path) -> None:
    text = table(labeled=False, more="CCCl,,train\nCCCCl,,validation\n")
    with pytest.raises(InputError, match=r"^2 of 44 rows cannot be used, the first is row 43: missing label in column"):
        made(tmp_path, text, max_rejected=0.01)
    assert polars.read_csv(tmp_path / "run/rejected.csv")["row"].to_list() == [43, 44]


def test_of_folds_too_test_rows_may_have_no_label(tmp_path: Path) -> None:
    text = table(labeled=False, train="0", test="1", more="CCCl,O,1\n")
    text = text.replace("\nCCCO,O,0", "\nCCCO,O,2").replace("\nCCCN,N,0", "\nCCCN,N,2")
    module = made(tmp_path, text, test_folds=1, validation_folds=2, max_rejected=0)
    assert sizes(module) == {"train": {"O": 19, "N": 7}, "validation": {"O": 1, "N": 1}, "test": {"O": 1}}


def test_a_split_that_no_fold_is_given_for_is_drawn(tmp_path: Path) -> None:
    # A fifth and a tenth of twenty alcohols, and of eight amines.
    drawn = {"validation": {"O": 2, "N": 1}, "test": {"O": 4, "N": 2}}
    labeled, unlabeled = (table(labeled, train="0", test="1") for labeled in (True, False))
    assert sizes(made(tmp_path, labeled, test_folds=1))["validation"] == drawn["validation"]
    assert sizes(made(tmp_path, labeled, test_folds=1))["test"] == {"O": 10, "N": 4}
    assert sizes(made(tmp_path, labeled, validation_folds=1))["test"] == drawn["test"]
    assert sizes(made(tmp_path, labeled, validation_folds=1))["validation"] == {"O": 10, "N": 4}
    assert sizes(made(tmp_path, unlabeled, test_folds=1, max_rejected=0)) == {"train": {"O": 14, "N": 5}, **drawn}


def test_a_fold_without_labels_is_a_fold_of_the_column(tmp_path: Path) -> None:
    text = table(labeled=False, train="0", test="1", more="CCCl,O,2\nCCCCl,N,2\n")
    module = made(tmp_path, text, test_folds=1, validation_folds=2, max_rejected=0)
    assert sizes(module)["validation"] == {"O": 1, "N": 1}
    assert sizes(module)["test"] == {"O": 4, "N": 2}
    message = r"^data\.test_folds: expected a fold of 0, 1, 2, got '3', one that is in no row\.$"
    with pytest.raises(InputError, match=message):
        made(tmp_path, text, test_folds=[1, 3], validation_folds=2)


def test_folds_of_an_ensemble_need_test_rows_with_labels(tmp_path: Path) -> None:
    message = r"^data\.split: expected test rows with labels in the split column with folds, got none; a table of the"
    with pytest.raises(InputError, match=message):
        made(tmp_path, table(labeled=False), folds=3, fold=0)
    records = made(tmp_path, table(), folds=3, fold=0).records
    assert len(records.rows["train"]) + len(records.rows["test"]) == 28


def test_of_several_labels_every_one_gets_its_share(tmp_path: Path) -> None:
    lines = []
    for row, smiles in enumerate(ALCOHOLS):
        labels = f"{row % 2},{row // 2 % 2}"
        lines += [f"{smiles},{labels},train\n", f"{smiles}Cl,,,test\n"]
    text = "smiles,odd,high,split\n" + "".join(lines)
    records = made(tmp_path, text, labels="multi", label_column=["odd", "high"], max_rejected=0).records
    assert {name: len(rows) for name, rows in records.rows.items()} == {"train": 21, "validation": 3, "test": 6}
    for rows in records.rows.values():
        assert (rows % 2 == 0).all()
        assert (records.codes[rows] == 1).any(axis=0).all()
