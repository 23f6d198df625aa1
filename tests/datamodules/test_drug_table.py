import contextlib
import gzip
import io
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datamodules.drug_table import (
    MOLECULES_PER_SAMPLE,
    DrugTable,
    InputError,
    InputKind,
    class_vocabulary,
    conflicting_duplicates,
    read_table,
)

FRAME = polars.DataFrame(
    {
        "name": ["ethanol", "benzene, pure", 'the "ester"', "café"],
        "smiles": ["CCO", "c1ccccc1", "CC(=O)OC", "C[N+](C)(C)C.[Cl-]"],
        "label": ["a", "b", "a", "c"],
    }
)


def parquet(values: dict[str, Any]) -> bytes:
    file = io.BytesIO()
    polars.DataFrame(values).write_parquet(file)
    return file.getvalue()


def save(folder: Path, content: bytes | str, name: str = "drugs.csv") -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def columns_of(table: DrugTable) -> tuple[tuple[str, ...], str | None, str | None, str | None]:
    return (table.columns.smiles, table.columns.label, table.columns.id, table.columns.split)


# Kinds of file

WRITERS: dict[str, Callable[[], bytes]] = {
    "drugs.csv": lambda: FRAME.write_csv().encode(),
    "drugs.tsv": lambda: FRAME.write_csv(separator="\t").encode(),
    "semicolons.txt": lambda: FRAME.write_csv(separator=";").encode(),
    "all_quoted.csv": lambda: FRAME.write_csv(quote_style="always").encode(),
    "windows.csv": lambda: FRAME.write_csv(line_terminator="\r\n").encode(),
    "old_mac.csv": lambda: FRAME.write_csv(line_terminator="\r").encode(),
    "excel.csv": lambda: b"\xef\xbb\xbf" + FRAME.write_csv().encode(),
    "blank_lines.csv": lambda: b"\n\r\n" + FRAME.write_csv().replace("\n", "\n\n").encode(),
    "no_last_newline.csv": lambda: FRAME.write_csv().rstrip().encode(),
    "drugs.csv.gz": lambda: gzip.compress(FRAME.write_csv().encode()),
    "DRUGS.TSV.GZ": lambda: gzip.compress(FRAME.write_csv(separator="\t").encode()),
    "drugs.parquet": lambda: parquet(FRAME.to_dict(as_series=False)),
    "drugs.PQ": lambda: parquet(FRAME.to_dict(as_series=False)),
    "drugs.parquet.gz": lambda: gzip.compress(parquet(FRAME.to_dict(as_series=False))),
    "v1.2.data": lambda: FRAME.write_csv().encode(),
}


@pytest.mark.parametrize("name", WRITERS)
def test_every_kind_of_file_reads_alike(name: str, tmp_path: Path) -> None:
    table = read_table(save(tmp_path, WRITERS[name](), name))
    assert table.frame.equals(FRAME)
    assert columns_of(table) == (("smiles",), "label", "name", None)
    assert table.smiles == [(smiles,) for smiles in FRAME["smiles"]]
    assert table.labels == ["a", "b", "a", "c"]
    assert table.splits == []
    assert table.reasons == [None] * 4


CELLS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=8)


@given(st.lists(st.tuples(CELLS, CELLS), min_size=1, max_size=6))
def test_text_cells_come_back_stripped(tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]]) -> None:
    frame = polars.DataFrame(rows, schema=["smiles", "label"], orient="row")
    table = read_table(save(tmp_path_factory.getbasetemp(), frame.write_csv()))
    assert table.frame.equals(frame)
    assert table.smiles == [(smiles.strip() or None,) for smiles, _ in rows]
    assert table.labels == [label.strip() or None for _, label in rows]


def test_the_frame_keeps_the_text_as_given(tmp_path: Path) -> None:
    table = read_table(save(tmp_path, "smiles,label,dose\n C ,1.0,007\n"))
    assert table.frame.rows() == [(" C ", "1.0", "007")]
    assert (table.smiles, table.labels) == ([("C",)], ["1.0"])


# Files that are no table

CSV = b"smiles,label\nCCO,a\nCCN,b\n"
WHOLE_PARQUET = parquet({"smiles": ["CCO", "CCN"], "label": ["a", "b"]})
WHOLE_GZIP = gzip.compress(CSV * 50)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", b"", "is empty; expected a header and rows of SMILES."),
        ("a.csv", b" \r\n\n", "is empty"),
        ("a.csv", b"\xef\xbb\xbf", "is empty"),
        ("a.csv", b"\xef\xbb\xbf\r\n", "is empty"),
        ("a.csv.gz", gzip.compress(b""), "is empty"),
        ("a.parquet", b"", "is empty"),
        ("a.csv", b"smiles,label", "has a header but no rows."),
        ("a.csv", b"smiles,label\n\n", "has a header but no rows."),
        ("a.parquet", parquet({"smiles": [], "label": []}), "has a header but no rows."),
        ("a.csv.gz", CSV, r"is not a whole gzip file \(Not a gzipped file"),
        ("a.csv.gz", WHOLE_GZIP[:-9], r"is not a whole gzip file \(Compressed file ended"),
        ("a.csv.gz", WHOLE_GZIP[:-6] + b"......", r"is not a whole gzip file \(CRC check failed"),
        ("a.csv.gz", WHOLE_GZIP[:10] + b"\xff" * 20, r"is not a whole gzip file \(Error -3"),
        ("a.csv", WHOLE_GZIP, r"is not a UTF-8 text table \("),
        ("a.csv", "smiles,label\nC,caf\xe9\n".encode("latin-1"), r"is not a UTF-8 text table \('utf-8' codec"),
        ("a.csv", "smiles,label\nC,a\n".encode("utf-16"), r"is not a UTF-8 text table \("),
        ("a.csv", b"smiles,label\n" + b"C" * 200_000 + b",a\n", r"cannot be read as a text table \(field larger"),
        ("a.csv", b"smiles,label,id,label,id\nC,a,1,b,2\n", "names column 'id' more than once."),
        ("a.parquet", CSV, r"cannot be read as Parquet \("),
        ("a.parquet", WHOLE_PARQUET[:-20], r"cannot be read as Parquet \("),
        ("a.parquet", b"PAR1" + b"\xff" * 90 + b"PAR1", r"cannot be read as Parquet \("),
        ("a.parquet", parquet({"smiles": [["C"], ["CC"]], "label": [0, 1]}), "column 'smiles' of .* holds List"),
        ("a.parquet", parquet({"smiles": ["C"], "label": [b"\xff"]}), "column 'label' of .* holds Binary; expected"),
    ],
    ids=lambda value: "" if isinstance(value, bytes) else str(value),
)
def test_other_files_are_refused_in_one_sentence(name: str, content: bytes, message: str, tmp_path: Path) -> None:
    path = save(tmp_path, content, name)
    with pytest.raises(InputError, match=message) as caught:
        read_table(path)
    assert str(caught.value).startswith("data.source: ")
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["missing.csv", "."])
def test_a_missing_file_is_named(name: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=rf"^data\.source: there is no file {re.escape(str(tmp_path / name))}\.$"):
        read_table(tmp_path / name)


def test_no_damage_to_a_compressed_file_is_an_unexpected_error(tmp_path: Path) -> None:
    source = random.Random(0)
    for name, whole in (("a.csv.gz", WHOLE_GZIP), ("a.parquet", WHOLE_PARQUET)):
        for _ in range(60):
            damaged = bytearray(whole)
            damaged[source.randrange(len(damaged))] ^= 1 << source.randrange(8)
            with contextlib.suppress(InputError):
                read_table(save(tmp_path, bytes(damaged), name))


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
    table = read_table(path, "molecule", ["salt"], "group", "code", "part", need_splits=True)
    assert columns_of(table) == (("salt",), "group", "code", "part")
    assert (table.smiles, table.labels, table.splits) == ([("CC",)], ["b"], ["test"])


def test_two_smiles_columns_keep_their_given_order(tmp_path: Path) -> None:
    path = save(tmp_path, "second,first,y\nC,CC,1\n")
    assert read_table(path, "pair", ["first", "second"]).smiles == [("CC", "C")]


@pytest.mark.parametrize("setting", ["smiles_columns", "label_column", "id_column", "split_column"])
def test_a_named_column_that_is_missing_lists_the_columns(setting: str, tmp_path: Path) -> None:
    path = save(tmp_path, "smiles,label,id,split\nC,a,1,train\n")
    name: str | list[str] = ["Smiles"] if setting == "smiles_columns" else "Smiles"
    message = rf"data\.{setting}: there is no column 'Smiles' in .*drugs\.csv; it has smiles, label, id, split\.$"
    with pytest.raises(InputError, match=message):
        read_table(path, **{setting: name, "need_splits": True})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (
            "molecule",
            r"data\.smiles_columns: name the 1 SMILES column\(s\) of input 'molecule'; .* has formula, kind\.",
        ),
        ("pair", r"data\.smiles_columns: name the 2 SMILES column\(s\) of input 'pair'; .* has formula, kind\."),
    ],
)
def test_columns_that_cannot_be_guessed_are_asked_for(kind: InputKind, message: str, tmp_path: Path) -> None:
    path = save(tmp_path, "formula,kind\nCH4,a\n")
    with pytest.raises(InputError, match=message):
        read_table(path, kind)
    names = ["formula"] * MOLECULES_PER_SAMPLE[kind]
    with pytest.raises(InputError, match=r"data\.label_column: say which column it is; .* has formula, kind\."):
        read_table(path, kind, names)
    with pytest.raises(InputError, match=r"data\.split_column: say which column it is; .* has formula, kind\."):
        read_table(path, kind, names, "kind", need_splits=True)


def test_the_number_of_smiles_columns_must_fit_the_input(tmp_path: Path) -> None:
    path = save(tmp_path, "x1,x2,y\nC,C,a\n")
    with pytest.raises(InputError, match=r"input 'pair' takes 2 column\(s\), got \['x1'\]"):
        read_table(path, "pair", ["x1"])
    with pytest.raises(InputError, match=r"input 'molecule' takes 1 column\(s\), got \['x1', 'x2'\]"):
        read_table(path, "molecule", ["x1", "x2"])


def test_a_table_to_predict_on_needs_no_label(tmp_path: Path) -> None:
    table = read_table(save(tmp_path, "smiles,label\nC,\n"), need_labels=False)
    assert columns_of(table) == (("smiles",), None, None, None)
    assert (table.labels, table.reasons) == ([], [None])


def test_the_split_column_is_read_on_request_alone(tmp_path: Path) -> None:
    path = save(tmp_path, "smiles,label,fold\nC,a, train \nC,a,\n")
    assert read_table(path).splits == []
    assert read_table(path, need_splits=True).splits == ["train", None]


# Rows


def test_rows_that_cannot_be_used_say_why(tmp_path: Path) -> None:
    table = read_table(save(tmp_path, "smiles,label\nC,a\n,a\nC, \nC\nC,a,extra,\n  ,\n"))
    assert table.reasons == [
        None,
        "empty SMILES in column smiles",
        "missing label in column label",
        "row has 1 fields where the header has 2",
        "row has 4 fields where the header has 2",
        "empty SMILES in column smiles",
    ]
    assert table.frame.height == 6


def test_each_smiles_column_can_be_empty(tmp_path: Path) -> None:
    table = read_table(save(tmp_path, "x1,x2,y\nC,,1\n,C,1\n,,1\n"), "pair")
    assert table.smiles == [("C", None), (None, "C"), (None, None)]
    assert table.reasons == [f"empty SMILES in column {name}" for name in ("x2", "x1", "x1")]


def test_blank_lines_of_a_single_column_are_empty_cells(tmp_path: Path) -> None:
    table = read_table(save(tmp_path, "smiles\nC\n\nCC\n  \nCCO,x\n"), need_labels=False)
    assert table.smiles == [("C",), (None,), ("CC",), (None,), ("CCO",)]
    empty = "empty SMILES in column smiles"
    assert table.reasons == [None, empty, None, empty, "row has 2 fields where the header has 1"]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([3, 10, -1], ["3", "10", "-1"]),
        ([1.0, 2.5, -0.0], ["1", "2.5", "0"]),
        ([1.0, None, float("nan")], ["1", None, None]),
        ([float("inf"), 1e20, 0.5], ["inf", "100000000000000000000", "0.5"]),
        ([True, False, None], ["true", "false", None]),
        ([" a ", "", "1.0"], ["a", None, "1.0"]),
    ],
)
def test_labels_of_any_type_are_text(values: list[Any], expected: list[str | None], tmp_path: Path) -> None:
    content = parquet({"smiles": ["C", "CC", "CCC"], "label": values})
    table = read_table(save(tmp_path, content, "drugs.parquet"))
    assert table.labels == expected
    missing = "missing label in column label"
    assert table.reasons == [missing if label is None else None for label in expected]


def test_categories_are_labels(tmp_path: Path) -> None:
    frame = FRAME.with_columns(polars.col("label").cast(polars.Categorical))
    frame.write_parquet(tmp_path / "drugs.parquet")
    assert read_table(tmp_path / "drugs.parquet").labels == ["a", "b", "a", "c"]


# Classes and duplicates


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


def test_duplicates_that_contradict_each_other_name_the_first_row() -> None:
    structures = ["x", "y", "x", "z", "x", "z"]
    labels = ["b", "a", "a", "c", "b", "c"]
    message = "conflicting duplicate: the structure of row 11 has the labels a, b"
    found = conflicting_duplicates(structures, labels, [10, 11, 13, 17, 19, 23])
    assert found == {10: message, 13: message, 19: message}


@given(st.lists(st.tuples(st.integers(0, 5), st.sampled_from("ab"))))
def test_a_row_conflicts_exactly_where_another_label_has_its_structure(rows: list[tuple[int, str]]) -> None:
    structures, labels = [row[0] for row in rows], [row[1] for row in rows]
    expected = {
        place
        for place, (structure, label) in enumerate(rows)
        if any(structure == other and label != given for other, given in rows)
    }
    assert set(conflicting_duplicates(structures, labels, range(len(rows)))) == expected


def test_quotes_lose_no_row(tmp_path: Path) -> None:
    tabs = tmp_path / "tabs.tsv"
    tabs.write_text('smiles\tlabel\nC\t"a\nCC\tb\nCCC\t"c\n')
    assert read_table(tabs).labels == ['"a', "b", '"c']
    commas = tmp_path / "commas.csv"
    commas.write_text('smiles,label\nC,"a\nCC,b\n')
    with pytest.raises(InputError, match=r"commas.csv cannot be read as a text table"):
        read_table(commas)
