"""Cells and lines that are too long or no text, and files in unknown encodings."""

from __future__ import annotations

import re
import tracemalloc
from pathlib import Path

import polars
import pytest

from base.errors import InputError
from datamodules.tables import text_content, text_table
from datamodules.tables.source_table import read_table
from datamodules.tables.table_file import open_table, read_header

LONGEST = 131_072


def save(folder: Path, content: bytes | str, name: str = "table.csv") -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@pytest.mark.parametrize("quote", ["", '"'])
@pytest.mark.parametrize("length", [LONGEST + 1, 1_000_000])
def test_a_long_cell_rejects_its_row(tmp_path: Path, length: int, quote: str) -> None:
    path = save(tmp_path, f"smiles,label\nCC,a\n{quote}{'C' * length}{quote},b\nC,{'é' * LONGEST}\nN,b\n")
    table = read_table(path)
    assert table.reasons.to_list() == [
        None,
        f"column smiles has more than {LONGEST} characters",
        f"label of {LONGEST:,} characters in column label, of which 200 are allowed",
        None,
    ]
    assert table.frame["smiles"].str.len_chars().to_list() == [2, length, 1, 1]
    chunks = list(open_table(path).chunks(1))
    assert [list(chunk.ragged) for chunk in chunks] == [[], [0], [], []]
    assert polars.concat([chunk.frame for chunk in chunks]).equals(table.frame)


def test_the_longest_cell_is_read(tmp_path: Path) -> None:
    chunk = open_table(save(tmp_path, f"smiles,label\n{'C' * LONGEST},b\n")).read()
    assert (chunk.frame["smiles"][0], chunk.ragged) == ("C" * LONGEST, {})


def test_quotes_around_many_lines_are_not_one_long_cell(tmp_path: Path) -> None:
    lines = "CC,b\n" * 50_000
    path = save(tmp_path, f'smiles,label\nC,a\nC,"open\n{lines}N"\n')
    sentence = (
        f"data.source: {path} cannot be read as a text table (the quotes of line 3 hold more than 131072 characters; "
        "one is not closed)."
    )
    with pytest.raises(InputError, match=f"^{re.escape(sentence)}$"):
        open_table(path)


@pytest.mark.parametrize(
    ("last", "what"), [('CC,"b\n', "a quote is not closed"), ('"CC"C,b\n', "',' expected after '\"'")]
)
def test_wrong_quotes_are_told_with_the_line(tmp_path: Path, last: str, what: str) -> None:
    path = save(tmp_path, f'smiles,label\n"C",a\n{last}')
    sentence = f"data.source: {path} cannot be read as a text table (line 3: {what})."
    with pytest.raises(InputError, match=f"^{re.escape(sentence)}$"):
        open_table(path)


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_quotes_around_lines_between_tabs_are_letters(tmp_path: Path, line_end: str) -> None:
    path = save(tmp_path, 'smiles\tlabel\nC\t"a\nCC\tb\nCCC\tc"\n'.replace("\n", line_end))
    assert open_table(path).read().frame["label"].to_list() == ['"a', "b", 'c"']


def test_a_line_of_any_length_is_refused_with_bounded_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_content, "LONGEST_LINE", 1 << 20)
    monkeypatch.setattr(text_content, "_BLOCK_BYTES", 1 << 16)
    path = save(tmp_path, b"smiles,label\nC,a\n" + b"C" * 20_000_000)
    tracemalloc.start()
    with pytest.raises(
        InputError, match=r"^data\.source: expected lines of at most 1 megabytes in \S+, got a longer one\.$"
    ):
        open_table(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 5_000_000


def test_old_line_ends_are_read_in_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_content, "_BLOCK_BYTES", 1 << 16)
    next(open_table(save(tmp_path, "smiles,label\rC,a\r")).chunks(1))
    path = save(tmp_path, b"smiles,label\r" + (b"C," + b"a" * 98 + b"\r") * 100_000)
    tracemalloc.start()
    table = open_table(path)
    first = next(table.chunks(100))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (table.rows, len(first.frame)) == (100_000, 100)
    assert peak < 5_000_000


@pytest.mark.parametrize("quote", ["", '"'])
def test_a_nul_byte_rejects_its_row(tmp_path: Path, quote: str) -> None:
    path = save(tmp_path, f"smiles,label\n{quote}C\0C{quote},a\nCC,b\nN,\0\n")
    assert read_table(path).reasons.to_list() == ["column smiles has a NUL byte", None, "column label has a NUL byte"]


def test_long_cells_and_nul_bytes_in_a_smiles_file_reject_their_rows(tmp_path: Path) -> None:
    path = save(tmp_path, f"CC a\nC\0 b\n{'C' * (LONGEST + 1)} c\n", "drugs.smi")
    assert read_table(path, need_labels=False).reasons.to_list() == [
        None,
        "column smiles has a NUL byte",
        f"column smiles has more than {LONGEST} characters",
    ]
    with pytest.raises(
        InputError, match=r"^data\.label_column: expected the name of a column of \S+, got null; it has smi"
    ):
        read_table(path)


NUL = "has NUL bytes in its header, as has UTF-16 without a byte-order mark; save it as UTF-8 text"
UNKNOWN = (
    "is not text in UTF-8, UTF-16 or Windows-1252; convert it, for instance with iconv -f ENCODING -t UTF-8 {path} > "
    "utf8_table.csv"
)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("smiles,label\nC,a\n".encode("utf-16-le"), NUL),
        (b"\0smiles,label\nC,a\n", NUL),
        (b"smiles,label\nC,caf\xe9 caf\xc3\xa9\n", UNKNOWN),
        ("smiles,label\nC,é\nC,".encode() + b"\xff\n", UNKNOWN),
        (b"smiles,label\nC,\xff\0\n", UNKNOWN),
        (b"smiles,label\nC,\xff\x81\n", UNKNOWN),
        (
            "smiles,label\nC,a\n".encode("utf-16")[:-1],
            "is damaged utf-16 text ('utf-16-le' codec can't decode byte 0x0a in position 0: truncated data)",
        ),
        (b"# \n" * 400_000 + b"smiles,label\nC,a\n", "expected a header in the first megabyte of {path}, got comments"),
        (b"# only comments\n", "is empty; expected a header and rows"),
        (b"sep=,\n", "is empty; expected a header and rows"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_no_text_of_a_known_encoding_is_refused(tmp_path: Path, content: bytes, problem: str) -> None:
    path = save(tmp_path, content)
    sentence = problem.format(path=path) if problem.startswith("expected") else f"{path} {problem.format(path=path)}"
    with pytest.raises(InputError, match=f"^{re.escape(f'data.source: {sentence}.')}$"):
        open_table(path)


@pytest.mark.parametrize("block", [16, 1 << 23])
def test_the_encoding_is_that_of_the_whole_file(tmp_path: Path, block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_content, "_BLOCK_BYTES", block)
    for first, last in ((b"\xe9", "é".encode()), ("é".encode(), b"\xe9")):
        path = save(tmp_path, b"smiles,label\nC," + first + b"\n" + b"CC,a\n" * 20 + b"C," + last + b"\n")
        with pytest.raises(InputError, match="is not text in UTF-8, UTF-16 or Windows-1252"):
            open_table(path)


def test_a_header_alone_is_read_from_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(tmp_path, b"sep=;\r\nsmiles;label\r\nC;\x81\n")

    def refuse(*arguments: object) -> None:
        raise AssertionError

    monkeypatch.setattr(text_table, "_check_table", refuse)
    assert read_header(path) == ["smiles", "label"]
