import random
from pathlib import Path
from typing import Any

import numpy
import pandas
import polars
import pytest
from hypothesis import given
from hypothesis import strategies as st

from base.errors import InputError
from datamodules.tables.class_labels import MISSING_LABELS, class_vocabulary
from datamodules.tables.columns import INPUTS, ColumnNames, InputKind
from datamodules.tables.drug_table import DrugTable
from datamodules.tables.source_table import check_columns, read_table
from tests.datamodules.tables.saved_file import parquet, save


def columns_of(table: DrugTable) -> tuple[tuple[str, ...], str | tuple[str, ...] | None, str | None, str | None]:
    return (table.columns.smiles, table.columns.label, table.columns.id, table.columns.split)


def smiles_of(table: DrugTable) -> list[list[str | None]]:
    """The cells of each SMILES column."""
    return [column.to_list() for column in table.smiles]


def cells(column: polars.Series | None) -> list[str | None]:
    assert column is not None
    assert column.dtype == polars.String
    return column.to_list()


# Cells

CELLS = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=8).map(
    lambda text: f" {text} "
)
NAMES = st.text(st.characters(categories=["L", "P", "Zs"], exclude_characters="?-"), min_size=1, max_size=8)
NAMES = NAMES.filter(lambda name: name.strip() not in MISSING_LABELS)


@given(st.lists(st.tuples(CELLS, NAMES), min_size=1, max_size=6))
def test_text_cells_come_back_stripped(tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]]) -> None:
    frame = polars.DataFrame(rows, schema=["smiles", "label"], orient="row")
    table = read_table(save(tmp_path_factory.getbasetemp(), frame.write_csv()))
    assert table.frame.equals(frame)
    assert smiles_of(table) == [[smiles.strip() or None for smiles, _ in rows]]
    assert cells(table.labels) == [" ".join(label.split()) or None for _, label in rows]
    assert (table.reasons.is_null() == [bool(label.strip()) for _, label in rows]).all()


def test_the_frame_keeps_the_text_as_given(tmp_path: Path) -> None:
    table = read_table(save(tmp_path, "smiles,label,dose\n C ,1.0,007\n"))
    assert table.frame.rows() == [(" C ", "1.0", "007")]
    assert (smiles_of(table), cells(table.labels)) == ([["C"]], ["1"])


def test_cells_that_are_no_text_are_refused_in_one_sentence(tmp_path: Path) -> None:
    for values, message in (
        ({"smiles": [["C"], ["CC"]], "label": [0, 1]}, r"column 'smiles' of .* holds List"),
        ({"smiles": ["C"], "label": [b"\xff"]}, r"column 'label' of .* holds Binary; expected text or numbers\.$"),
        ({"smiles": ["C"], "label": [{"a": 1}]}, r"column 'label' of .* holds Struct"),
    ):
        with pytest.raises(InputError, match=rf"^data\.source: {message}"):
            read_table(save(tmp_path, parquet(values), "drugs.parquet"))


# Columns


@pytest.mark.parametrize(
    ("kind", "header", "expected"),
    [
        ("molecule", "smiles,label", (("smiles",), "label", None, None)),
        ("molecule", "ID,SMILES,Label", (("SMILES",), "Label", "ID", None)),
        ("molecule", "Drug_ID,Drug,Y", (("Drug",), "Y", None, None)),
        ("molecule", "X,Y,Name", (("X",), "Y", "Name", None)),
        ("molecule", "canonical_smiles,smiles,activity,target", (("smiles",), "target", None, None)),
        ("molecule", " molecule , class ", ((" molecule ",), " class ", None, None)),
        ("molecule", "smiles,SMILES,y", (("smiles",), "y", None, None)),
        ("molecule", "Cpd No.,Structure [SMILES],Class", (("Structure [SMILES]",), "Class", "Cpd No.", None)),
        ("molecule", "Trivial-Name,Canonical SMILES,Y", (("Canonical SMILES",), "Y", "Trivial-Name", None)),
        ("molecule", "ID #,[SMILES],Activity (%),id,smiles,activity", (("smiles",), "activity", "id", None)),
        ("reaction", "label,product,reactants", (("reactants", "product"), "label", None, None)),
        ("reaction", "X1,X2,Y,ID1", (("X1", "X2"), "Y", "ID1", None)),
        ("pair", "smiles_2,smiles_1,class", (("smiles_1", "smiles_2"), "class", None, None)),
        ("pair", "Drug1,Drug2,Y,smiles1", (("Drug1", "Drug2"), "Y", None, None)),
    ],
)
def test_columns_are_guessed(kind: InputKind, header: str, expected: object, tmp_path: Path) -> None:
    row = ",".join("C" * len(header.split(",")))
    assert columns_of(read_table(save(tmp_path, f"{header}\n{row}\n"), kind)) == expected


def test_named_columns_win_over_guesses(tmp_path: Path) -> None:
    path = save(tmp_path, "smiles,label,id,split,salt,group,code,part\nC,a,1,train,CC,b,2,test\n")
    table = read_table(path, "molecule", ColumnNames(["salt"], "group", "code", "part"), need_splits=True)
    assert columns_of(table) == (("salt",), "group", "code", "part")
    assert (smiles_of(table), cells(table.labels), cells(table.splits)) == ([["CC"]], ["b"], ["test"])


def test_two_smiles_columns_keep_their_given_order(tmp_path: Path) -> None:
    path = save(tmp_path, "second,first,y\nC,CC,1\n")
    assert smiles_of(read_table(path, "pair", ColumnNames(["first", "second"]))) == [["CC"], ["C"]]


MISSING = {
    "smiles_columns": ColumnNames(["Smiles"]),
    "label_column": ColumnNames(label="Smiles"),
    "id_column": ColumnNames(id="Smiles"),
    "split_column": ColumnNames(split="Smiles"),
}


@pytest.mark.parametrize("setting", MISSING)
def test_a_named_column_that_is_missing_lists_the_columns(setting: str, tmp_path: Path) -> None:
    path = save(tmp_path, "smiles,label,id,split\nC,a,1,train\n")
    message = rf"data\.{setting}: expected a column of .*drugs\.csv \(smiles, label, id, split\), got 'Smiles'\.$"
    with pytest.raises(InputError, match=message):
        read_table(path, names=MISSING[setting], need_splits=True)
    with pytest.raises(InputError, match=message):
        check_columns(path, "molecule", MISSING[setting], need_splits=True)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (
            "molecule",
            r"data\.smiles_columns: expected the names of 1 column\(s\) of .* for input 'molecule', got null; it has "
            r"formula, kind; name them with --data\.smiles_columns\.$",
        ),
        ("pair", r"data\.smiles_columns: expected the names of 2 column\(s\) of .* for input 'pair', got null; it has"),
    ],
)
def test_columns_that_cannot_be_guessed_are_asked_for(kind: InputKind, message: str, tmp_path: Path) -> None:
    path = save(tmp_path, "formula,kind\nCH4,a\n")
    with pytest.raises(InputError, match=message):
        read_table(path, kind)
    smiles = ["formula"] * len(INPUTS[kind].smiles)
    asked = r"expected the name of a column of .*, got null; it has formula, kind; name one with"
    with pytest.raises(InputError, match=rf"data\.label_column: {asked} --data\.label_column\.$"):
        read_table(path, kind, ColumnNames(smiles))
    with pytest.raises(InputError, match=rf"data\.split_column: {asked} --data\.split_column\.$"):
        read_table(path, kind, ColumnNames(smiles, "kind"), need_splits=True)


def test_the_number_of_smiles_columns_must_fit_the_input(tmp_path: Path) -> None:
    path = save(tmp_path, "x1,x2,y\nC,C,a\n")
    with pytest.raises(InputError, match=r"expected 2 column\(s\) for input 'pair', got \['x1'\]"):
        read_table(path, "pair", ColumnNames(["x1"]))
    with pytest.raises(InputError, match=r"expected 1 column\(s\) for input 'molecule', got \['x1', 'x2'\]"):
        read_table(path, "molecule", ColumnNames(["x1", "x2"]))


def test_a_table_to_predict_on_needs_no_label(tmp_path: Path) -> None:
    table = read_table(save(tmp_path, "smiles,label\nC,\n,a\nN,\n"), need_labels=False)
    assert columns_of(table) == (("smiles",), None, None, None)
    assert table.labels is None
    assert cells(table.reasons) == [None, "empty SMILES in column smiles", None]


def test_the_split_column_is_read_on_request_alone(tmp_path: Path) -> None:
    path = save(tmp_path, "smiles,label,fold\nC,a, train \nC,a,\n")
    assert read_table(path).splits is None
    assert cells(read_table(path, need_splits=True).splits) == ["train", None]


# Rows


def test_rows_that_cannot_be_used_say_why(tmp_path: Path) -> None:
    table = read_table(save(tmp_path, "smiles,label\nC,a\n,a\nC, \nC\nC,a,extra,\n  ,\n,,,\n"))
    assert cells(table.reasons) == [
        None,
        "empty SMILES in column smiles",
        "missing label in column label",
        "row has 1 fields where the header has 2",
        "row has 4 fields where the header has 2",
        "empty SMILES in column smiles",
        "row has 4 fields where the header has 2",
    ]
    assert table.frame.height == 7


def test_each_smiles_column_can_be_empty(tmp_path: Path) -> None:
    table = read_table(save(tmp_path, "x1,x2,y\nC,,1\n,C,1\n,,1\n"), "pair")
    assert smiles_of(table) == [["C", None, None], [None, "C", None]]
    assert cells(table.reasons) == [f"empty SMILES in column {name}" for name in ("x2", "x1", "x1")]


def test_blank_lines_of_a_single_column_are_empty_cells(tmp_path: Path) -> None:
    table = read_table(save(tmp_path, "smiles\nC\n\nCC\n  \nCCO,x\n"), need_labels=False)
    assert smiles_of(table) == [["C", None, "CC", None, "CCO"]]
    empty = "empty SMILES in column smiles"
    assert cells(table.reasons) == [None, empty, None, empty, "row has 2 fields where the header has 1"]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([3, 10, -1], ["3", "10", "-1"]),
        ([1.0, 2.5, -0.0], ["1", "2.5", "0"]),
        ([1.0, None, float("nan")], ["1", None, None]),
        ([float("inf"), 1e20, 0.5], ["inf", "100000000000000000000", "0.5"]),
        ([True, False, None], ["True", "False", None]),
        ([" a ", "", "1.0"], ["a", None, "1"]),
    ],
)
def test_labels_of_any_type_are_text(values: list[Any], expected: list[str | None], tmp_path: Path) -> None:
    content = parquet({"smiles": ["C", "CC", "CCC"], "label": values})
    table = read_table(save(tmp_path, content, "drugs.parquet"))
    assert cells(table.labels) == expected
    missing = "missing label in column label"
    assert cells(table.reasons) == [missing if label is None else None for label in expected]


def test_booleans_are_the_labels_that_pandas_writes(tmp_path: Path) -> None:
    frame = pandas.DataFrame({"smiles": ["C", "CC"], "label": [True, False]})
    frame.to_csv(tmp_path / "a.csv", index=False)
    polars.DataFrame(frame.to_dict(orient="list")).write_parquet(tmp_path / "a.parquet")
    numpy.savez(tmp_path / "a.npz", features=numpy.eye(2), labels=frame["label"])
    inputs: dict[str, InputKind] = {"a.csv": "molecule", "a.parquet": "molecule", "a.npz": "array"}
    for name, input in inputs.items():
        assert cells(read_table(tmp_path / name, input).labels) == ["True", "False"]


def test_categories_are_labels(tmp_path: Path) -> None:
    labels = polars.Series(["a", "b", None, "a"], dtype=polars.Categorical)
    polars.DataFrame({"smiles": ["C"] * 4, "label": labels}).write_parquet(tmp_path / "drugs.parquet")
    assert cells(read_table(tmp_path / "drugs.parquet").labels) == ["a", "b", None, "a"]


# Classes


def test_classes_are_numbers_in_order_and_then_names() -> None:
    assert class_vocabulary(["10", "9", "b", "2.5", "-1", "a", "9", "B"]) == ("-1", "2.5", "9", "10", "B", "a", "b")
    assert class_vocabulary(["1.0", "1", "01"]) == ("01", "1", "1.0")
    assert class_vocabulary([]) == ()


LABELS = st.lists(st.sampled_from(["1", "2", "10", "-3.5", "a", "nan", "NaN", "inf", "-inf", "zinc", "1e3"]))


@given(LABELS, st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_change_the_classes(labels: list[str], source: random.Random) -> None:
    shuffled = source.sample(labels, len(labels))
    assert class_vocabulary(shuffled) == class_vocabulary(labels)
    assert set(class_vocabulary(labels)) == set(labels)


def test_numbers_that_are_not_finite_are_names() -> None:
    assert class_vocabulary(["inf", "5", "nan", "a"]) == ("5", "a", "inf", "nan")


def test_a_column_that_only_resembles_a_label_is_not_guessed(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"data\.label_column: expected the name of a column"):
        read_table(save(tmp_path, "smiles,Activity (%)\nC,a\n"))


def test_a_single_column_in_brackets_is_told(tmp_path: Path) -> None:
    path = save(tmp_path, "Formula [text],label\nC,a\n")
    with pytest.raises(InputError, match=r"got '\[Formula \[text\]\]'; a single column is given without brackets\.$"):
        read_table(path, "molecule", ColumnNames(["[Formula [text]]"]))


def test_columns_of_another_input_are_told(tmp_path: Path) -> None:
    path = save(tmp_path, "rxn_smiles,label\nC>>O,a\n")
    with pytest.raises(InputError, match=r"it has rxn_smiles, label, which are usual for --data\.input reaction; name"):
        read_table(path)
