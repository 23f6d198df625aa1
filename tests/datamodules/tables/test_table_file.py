import contextlib
import csv
import gzip
import io
import random
import re
from collections.abc import Callable
from pathlib import Path

import polars
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from base.errors import InputError
from datamodules.tables.table_file import open_table, read_header
from tests.datamodules.tables.saved_file import parquet, save

FRAME = polars.DataFrame(
    {
        "name": ["ethanol", "benzene, pure", 'the "ester"', "café"],
        "smiles": ["CCO", "c1ccccc1", "CC(=O)OC", "C[N+](C)(C)C.[Cl-]"],
        "label": ["a", "b", "", " c "],
    }
)


def read_frame(path: Path) -> tuple[polars.DataFrame, dict[int, str]]:
    """A whole file: its rows, and the rows with more or fewer fields than the header."""
    chunk = open_table(path).read()
    return chunk.frame, chunk.ragged


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
    "no_last_newline.csv": lambda: FRAME.write_csv().removesuffix("\n").encode(),
    "drugs.csv.gz": lambda: gzip.compress(FRAME.write_csv().encode()),
    "DRUGS.TSV.GZ": lambda: gzip.compress(FRAME.write_csv(separator="\t").encode()),
    "drugs.parquet": lambda: parquet(FRAME.to_dict(as_series=False)),
    "drugs.PQ": lambda: parquet(FRAME.to_dict(as_series=False)),
    "drugs.parquet.gz": lambda: gzip.compress(parquet(FRAME.to_dict(as_series=False))),
    "v1.2.data": lambda: FRAME.write_csv().encode(),
}


@pytest.mark.parametrize("name", WRITERS)
def test_every_kind_of_file_reads_alike(name: str, tmp_path: Path) -> None:
    frame, ragged = read_frame(save(tmp_path, WRITERS[name](), name))
    assert frame.equals(FRAME)
    assert ragged == {}


def test_text_stays_text(tmp_path: Path) -> None:
    frame, _ = read_frame(save(tmp_path, "smiles,label,dose,when\n C ,1.0,007,2020-01-01\nNone,null,NA,\n#,nan,,1e3\n"))
    assert frame.rows() == [(" C ", "1.0", "007", "2020-01-01"), ("None", "null", "NA", ""), ("#", "nan", "", "1e3")]
    assert set(frame.dtypes) == {polars.String}


def test_the_types_of_parquet_stay(tmp_path: Path) -> None:
    values = {"number": [1, None], "share": [0.5, float("inf")], "list": [[1], []], "raw": [b"\xff", b""]}
    frame, _ = read_frame(save(tmp_path, parquet(values), "drugs.parquet"))
    assert frame.to_dict(as_series=False) == values


# Regular files are read in one go, others line by line

LETTERS = st.sampled_from("CN=1()[]@+-.#% \"'\\/|;,\té\0\x0b\x0c\x1c\x85\u2028\ufeff")
CELLS = st.text(LETTERS, max_size=4) | st.sampled_from(["", " ", "NA", "null", "1.0", "CCO", '"', '""'])
NAMES = st.lists(st.text("ab C#_", max_size=3), min_size=1, max_size=3, unique=True)


@st.composite
def tables(draw: st.DrawFn) -> tuple[str, list[str], list[list[str]]]:
    """A delimiter that the header shows, the header, and rows."""
    names = draw(NAMES)
    delimiter = draw(st.sampled_from(",\t;")) if len(names) > 1 else ","
    rows = draw(st.lists(st.lists(CELLS, min_size=len(names), max_size=len(names)), min_size=1, max_size=6))
    return delimiter, [f"first{names[0]}", *names[1:]], rows


def written(delimiter: str, lines: list[list[str]], quoting: int) -> str:
    file = io.StringIO()
    # Python's own writer quotes a lone empty cell, which would be a blank line.
    csv.writer(file, delimiter=delimiter, lineterminator="\n", quoting=quoting).writerows(lines)  # type: ignore[arg-type]
    return file.getvalue()


@given(tables())
@example((",", ["a"], [[" "]]))
@example((",", ["a", ""], [["C", "N"]]))
@example(("\t", ["a", "b"], [["", ""], ["", ""]]))
@example((",", ["a"], [["#C"], ["C#N"]]))
@example((",", ["a", "b"], [["C", "\ufeffN"], ["\ufeffC", "N"]]))
def test_a_table_is_what_its_writer_was_given(
    tmp_path_factory: pytest.TempPathFactory, table: tuple[str, list[str], list[list[str]]]
) -> None:
    delimiter, names, rows = table
    expected = polars.DataFrame(rows, schema=dict.fromkeys(names, polars.String), orient="row")
    folder = tmp_path_factory.getbasetemp()
    for quoting in (csv.QUOTE_MINIMAL, csv.QUOTE_ALL):
        frame, ragged = read_frame(save(folder, written(delimiter, [names, *rows], quoting)))
        assert frame.equals(expected)
        assert sorted(ragged) == [number for number, row in enumerate(rows) if "\0" in "".join(row)]


PLAIN = st.text(st.sampled_from("CN=1()[]@+-.#% '\\/|é\0\x0b\x0c\x1c\x85\u2028\ufeff"), max_size=4)


def outcome(path: Path) -> tuple[object, ...]:
    """What comes of reading a file, the error's sentence included."""
    try:
        frame, ragged = read_frame(path)
    except InputError as error:
        return (str(error),)
    return frame.columns, frame.dtypes, frame.rows(), ragged


@given(
    st.sampled_from(",\t;"),
    st.lists(st.lists(PLAIN, min_size=1, max_size=4), min_size=1, max_size=6),
    st.sampled_from(["", "\n", "\n\n"]),
    st.sampled_from(["", "\ufeff", "\n"]),
    st.sampled_from(["\n", "\r\n", "\r"]),
)
def test_quoting_a_name_changes_nothing(
    tmp_path_factory: pytest.TempPathFactory, delimiter: str, lines: list[list[str]], end: str, start: str, newline: str
) -> None:
    # The quote sends the file down the slow way; rows may be short, long or blank here.
    names = [f"{number} name" for number in range(len(lines[0]))]
    body = "".join("\n" + delimiter.join(line) for line in lines) + end
    outcomes = []
    for first in (names[0], f'"{names[0]}"'):
        text = (start + delimiter.join([first, *names[1:]]) + body).replace("\n", newline)
        outcomes.append(outcome(save(tmp_path_factory.getbasetemp(), text)))
    assert outcomes[0] == outcomes[1]


def test_rows_with_too_few_or_too_many_cells_say_so(tmp_path: Path) -> None:
    frame, ragged = read_frame(save(tmp_path, "smiles,label\nC,a\nC\nC,a,extra,\n,,\nN,b\n"))
    assert frame.rows() == [("C", "a"), ("C", ""), ("C", "a"), ("", ""), ("N", "b")]
    assert ragged == {
        number: f"row has {fields} fields where the header has 2" for number, fields in ((1, 1), (2, 4), (3, 3))
    }


def test_blank_lines_are_skipped_but_in_a_single_column_are_empty_cells(tmp_path: Path) -> None:
    two, _ = read_frame(save(tmp_path, "\nsmiles,label\n\nC,a\n\n\nN,b\n\n"))
    assert two.rows() == [("C", "a"), ("N", "b")]
    one, ragged = read_frame(save(tmp_path, "smiles\nC\n\nCC\n  \nCCO,x\n"))
    assert one["smiles"].to_list() == ["C", "", "CC", "  ", "CCO"]
    assert ragged == {4: "row has 2 fields where the header has 1"}


def test_quotes_lose_no_row(tmp_path: Path) -> None:
    tabs = save(tmp_path, 'smiles\tlabel\nC\t"a\nCC\tb\nCCC\t"c\n', "tabs.tsv")
    assert read_frame(tabs)[0]["label"].to_list() == ['"a', "b", '"c']
    commas = save(tmp_path, 'smiles,label\nC,"a\nCC,b\n', "commas.csv")
    with pytest.raises(InputError, match=r"commas.csv cannot be read as a text table"):
        read_frame(commas)


def test_a_quoted_cell_may_hold_lines_and_delimiters(tmp_path: Path) -> None:
    frame, _ = read_frame(save(tmp_path, 'smiles,note\nC,"a, b\nand ""c"""\n'))
    assert frame.rows() == [("C", 'a, b\nand "c"')]


# Files that are no table

CSV = b"smiles,label\nCCO,a\nCCN,b\n"
WHOLE_PARQUET = parquet({"smiles": ["CCO", "CCN"], "label": ["a", "b"]})
WHOLE_GZIP = gzip.compress(CSV * 50)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", b"", "is empty; expected a header and rows."),
        ("a.csv", b" \r\n\n", "is empty"),
        ("a.csv", b"\xef\xbb\xbf", "is empty"),
        ("a.csv", b"\xef\xbb\xbf\r\n", "is empty"),
        ("a.csv.gz", gzip.compress(b""), "is empty"),
        ("a.parquet", b"", "is empty"),
        ("a.csv", b"smiles,label", "expected rows below the header"),
        ("a.csv", b"smiles,label\n", "expected rows below the header"),
        ("a.csv", b'"smiles",label\n\n', "expected rows below the header"),
        ("a.parquet", parquet({"smiles": [], "label": []}), "expected rows below the header"),
        ("a.csv.gz", WHOLE_GZIP[:-9], r"is not a complete gzip file \(Compressed file ended"),
        ("a.csv.gz", WHOLE_GZIP[:-6] + b"......", r"is not a complete gzip file \(CRC check failed"),
        ("a.csv.gz", WHOLE_GZIP[:10] + b"\xff" * 20, r"is not a complete gzip file \(Error -3"),
        ("a.csv", b"smiles,label,id,label,id\nC,a,1,b,2\n", "names column 'id' more than once."),
        ("a.parquet", WHOLE_PARQUET[:-20], r"cannot be read as Parquet \("),
        ("a.parquet", b"PAR1" + b"\xff" * 90 + b"PAR1", r"cannot be read as Parquet \("),
    ],
    ids=lambda value: "" if isinstance(value, bytes) else str(value),
)
def test_other_files_are_refused_in_one_sentence(name: str, content: bytes, message: str, tmp_path: Path) -> None:
    path = save(tmp_path, content, name)
    with pytest.raises(InputError, match=message) as caught:
        read_frame(path)
    assert str(caught.value).startswith("data.source: ")
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["missing.csv", "."])
def test_a_missing_file_is_named(name: str, tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=rf"^data\.source: expected an existing file, got {re.escape(str(tmp_path / name))}\.$"
    ):
        read_frame(tmp_path / name)


def test_no_damage_to_a_compressed_file_is_an_unexpected_error(tmp_path: Path) -> None:
    source = random.Random(0)
    for name, whole in (("a.csv.gz", WHOLE_GZIP), ("a.parquet", WHOLE_PARQUET)):
        for _ in range(60):
            damaged = bytearray(whole)
            damaged[source.randrange(len(damaged))] ^= 1 << source.randrange(8)
            with contextlib.suppress(InputError):
                read_frame(save(tmp_path, bytes(damaged), name))


# The header alone


@pytest.mark.parametrize("name", WRITERS)
def test_the_header_is_that_of_the_whole_file(name: str, tmp_path: Path) -> None:
    assert read_header(save(tmp_path, WRITERS[name](), name)) == FRAME.columns


@given(
    names=st.lists(st.text('ab"\n,\t ', max_size=3), min_size=1, max_size=3, unique=True),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
)
def test_any_header_is_that_of_the_whole_file(
    tmp_path_factory: pytest.TempPathFactory, names: list[str], quoting: int
) -> None:
    lines = [[f"x{name}" for name in names], ["C"] * len(names)]
    path = save(tmp_path_factory.getbasetemp(), written(",", lines, quoting))
    assert read_header(path) == open_table(path).columns


def test_rows_are_not_checked_for_the_header(tmp_path: Path) -> None:
    assert read_header(save(tmp_path, b"smiles,label\nC\n" + b"CC,a\n" * 9)) == ["smiles", "label"]
    for content, message in ((b"", "is empty"), (b"\x81\n", "is not text in UTF-8")):
        with pytest.raises(InputError, match=message):
            read_header(save(tmp_path, content))
    with pytest.raises(InputError, match="is not a complete gzip file"):
        read_header(save(tmp_path, WHOLE_GZIP[:-9], "a.csv.gz"))
