"""A table reads back equal from every form that is read, whole and in chunks."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import logging
import lzma
import zipfile
from collections.abc import Callable
from pathlib import Path

import pandas
import polars
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from datamodules.tables import text_content
from datamodules.tables.table_file import open_table, read_header

TABLE = polars.DataFrame(
    {
        "smiles": ["CCO", "C#N", "c1ccccc1", "CC(=O)O"],
        "label": ["blüte", "café", "a b", ""],
        "id": ["1", "#2", "# 3", "x"],
    }
)


def zipped(content: bytes, name: str = "table.csv") -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return file.getvalue()


ENCODINGS: dict[str, Callable[[str], bytes]] = {
    "utf-8": str.encode,
    "utf-8 with mark": lambda text: text.encode("utf-8-sig"),
    "utf-16": lambda text: text.encode("utf-16"),
    "utf-16 of big endians": lambda text: b"\xfe\xff" + text.encode("utf-16-be"),
    "utf-32": lambda text: text.encode("utf-32"),
    "windows-1252": lambda text: text.encode("cp1252"),
}
PACKINGS: dict[str, Callable[[bytes], bytes]] = {
    "plain": bytes,
    "gzip": gzip.compress,
    "two members of gzip": lambda content: gzip.compress(content[:9]) + gzip.compress(content[9:]),
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "zip": zipped,
}
SUFFIXES = ("csv", "csv.gz", "csv.bz2", "csv.xz", "zip", "txt", "parquet")
ABOVE = ("", "\n\n", "sep={delimiter}\n", '"SEP={delimiter}"\n\n', "# made by hand, 2020\n#\n## CC\n")


def check(path: Path, table: polars.DataFrame, size: int = 3) -> None:
    """The whole table, its chunks and its header are those of a table."""
    opened = open_table(path)
    whole = opened.read()
    assert whole.frame.equals(table)
    assert whole.ragged == {}
    assert (opened.columns, opened.rows, read_header(path)) == (table.columns, len(table), table.columns)
    chunks = list(opened.chunks(size))
    assert [chunk.first_row for chunk in chunks] == list(range(0, len(table), size))
    assert polars.concat([chunk.frame for chunk in chunks]).equals(table)
    shares = [[chunk.first_row for chunk in opened.chunks(size, process, 2)] for process in range(2)]
    assert sorted(shares[0] + shares[1]) == [chunk.first_row for chunk in chunks]


@pytest.mark.parametrize("packing", PACKINGS)
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_every_encoding_in_every_packing(tmp_path: Path, encoding: str, packing: str) -> None:
    path = tmp_path / "table.csv"
    path.write_bytes(PACKINGS[packing](ENCODINGS[encoding](TABLE.write_csv())))
    check(path, TABLE)
    clean = tmp_path / "clean.csv"
    clean.write_text(TABLE.write_csv())
    by_pandas = pandas.read_csv(clean, dtype=str, keep_default_na=False)
    assert open_table(path).read().frame.to_dict(as_series=False) == by_pandas.to_dict("list")


CELLS = st.text(st.sampled_from("CN=#()1 \"',;|\téß"), max_size=5)
WORDS = st.text(st.sampled_from("CN=#()1 é"), max_size=5)


@st.composite
def tables(draw: st.DrawFn) -> polars.DataFrame:
    """Tables whose first cells are no comment; with cells that need quotes, or none of these."""
    cells = draw(st.sampled_from([CELLS, WORDS]))
    names = ["smiles", *draw(st.lists(st.text("abé #", min_size=1, max_size=3), min_size=1, max_size=3, unique=True))]
    row = st.lists(cells, min_size=len(names), max_size=len(names))
    rows = draw(st.lists(row, min_size=1, max_size=7))
    return polars.DataFrame(rows, schema=dict.fromkeys(names, polars.String), orient="row")


@settings(max_examples=300, deadline=None)
@given(
    table=tables(),
    encoding=st.sampled_from(sorted(ENCODINGS)),
    packing=st.sampled_from(sorted(PACKINGS)),
    suffix=st.sampled_from(SUFFIXES),
    delimiter=st.sampled_from(",;\t"),
    line_end=st.sampled_from(["\n", "\r\n", "\r"]),
    above=st.sampled_from(ABOVE),
    block=st.sampled_from([16, 1 << 23]),
)
@example(TABLE, "utf-16", "zip", "csv.gz", ";", "\r", ABOVE[3], 16)
def test_any_table_in_any_form(
    tmp_path_factory: pytest.TempPathFactory,
    table: polars.DataFrame,
    encoding: str,
    packing: str,
    suffix: str,
    delimiter: str,
    line_end: str,
    above: str,
    block: int,
) -> None:
    file = io.StringIO()
    writer = csv.writer(file, delimiter=delimiter, lineterminator="\n")
    writer.writerows([table.columns, *table.rows()])
    text = (above.format(delimiter=delimiter) + file.getvalue()).replace("\n", line_end)
    path = tmp_path_factory.getbasetemp() / f"any.{suffix}"
    path.write_bytes(PACKINGS[packing](ENCODINGS[encoding](text)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(text_content, "_BLOCK_BYTES", block)
        check(path, table)


@pytest.mark.parametrize("packing", PACKINGS)
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_parquet_under_any_name(tmp_path: Path, packing: str, suffix: str) -> None:
    table = polars.DataFrame({"smiles": ["CCO", None, "C"], "dose": [1.5, 2.0, None]})
    file = io.BytesIO()
    table.write_parquet(file)
    path = tmp_path / f"table.{suffix}"
    path.write_bytes(PACKINGS[packing](file.getvalue()))
    check(path, table, size=2)


SMILES = polars.DataFrame(
    {"smiles": ["CCO", "C#N", "[Na+].[Cl-]", "C"], "id": ["ethanol", "hydrogen cyanide", "salt\t58.4 g/mol", ""]}
)
SMILES_LINES = "CCO ethanol\nC#N\t hydrogen cyanide\n  [Na+].[Cl-] salt\t58.4 g/mol \nC\n"


@pytest.mark.parametrize("packing", PACKINGS)
@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("above", ["", "\ufeff", "# exported\n", "\n\n", "SMILES Name \n", "smiles\n"])
def test_smiles_files(tmp_path: Path, above: str, line_end: str, packing: str) -> None:
    path = tmp_path / "drugs.smi"
    text = (above + SMILES_LINES.replace("\nC\n", "\n\n \nC\n")).replace("\n", line_end).encode()
    path.write_bytes(zipped(text, "drugs.smi") if packing == "zip" else PACKINGS[packing](text))
    check(path, SMILES)


@pytest.mark.parametrize("name", ["drugs.smi.gz", "DRUGS.SMI.GZ", "drugs.smiles.gz", "drugs.smi"])
def test_the_name_below_the_packing_tells_a_smiles_file(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(gzip.compress(SMILES_LINES.encode()))
    check(tmp_path / name, SMILES)


@pytest.mark.parametrize("delimiter", ",;\t")
def test_a_smiles_file_with_named_columns_is_a_table(tmp_path: Path, delimiter: str) -> None:
    (tmp_path / "drugs.smi").write_text(TABLE.write_csv(separator=delimiter))
    check(tmp_path / "drugs.smi", TABLE)


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        ("#smiles,label\nCCO,a\n", ["smiles", "label"]),
        ("# made by hand\n#  SMILES\tlabel\nCCO\ta\n", ["SMILES", "label"]),
        ("# smiles, label\nsmiles,label\nCCO,a\n", ["smiles", "label"]),
        ("#,smiles\n1,C\n", ["#", "smiles"]),
        ("#\tsmiles\n1\tC\n", ["#", "smiles"]),
        ("sep=|\nsmiles|a,b\nCCO|1,2\n", ["smiles", "a,b"]),
        ("sep=,\nsmiles,a;b;c\nCCO,1\n", ["smiles", "a;b;c"]),
        ("PAR1,smiles\n1,C\n", ["PAR1", "smiles"]),
    ],
)
def test_lines_above_the_header_and_headers_like_them(tmp_path: Path, text: str, columns: list[str]) -> None:
    path = tmp_path / "table.csv"
    path.write_text(text)
    assert read_header(path) == open_table(path).columns == columns
    assert open_table(path).rows == 1


def test_a_line_of_comment_below_the_header_is_a_row(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("smiles,label\nCCO,a\n# rest is old\n# CCN,b\n#N,c\n")
    chunk = open_table(path).read()
    assert chunk.frame["smiles"].to_list() == ["CCO", "# rest is old", "# CCN", "#N"]
    assert chunk.ragged == {1: "row has 1 fields where the header has 2"}


@pytest.mark.parametrize("header", ["smiles,label", '"smiles",label', "smiles,größe"])
def test_windows_text_is_named_in_one_warning(tmp_path: Path, header: str, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "table.csv"
    path.write_bytes(f"{header}\nCCO,naïve – €5\n".encode("cp1252"))
    with caplog.at_level(logging.WARNING):
        read_header(path)
        for _ in range(2):
            assert open_table(path).read().frame.row(0) == ("CCO", "naïve – €5")
    assert caplog.messages == [
        f"{path} is not UTF-8; it is read as Windows-1252, the encoding of Western European Windows. If letters look "
        "wrong, save it as UTF-8."
    ]
