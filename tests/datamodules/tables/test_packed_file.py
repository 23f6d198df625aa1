from __future__ import annotations

import bz2
import gzip
import io
import lzma
import random
import re
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import polars
import pytest

from base.errors import InputError
from datamodules.tables import packed_file, text_content
from datamodules.tables.table_file import open_table, read_header

CSV = b"smiles,label\nCCO,a\nCCN,b\n"


def zipped(members: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


def refusal(folder: Path, content: bytes, name: str = "table.csv") -> str:
    """The sentence after the path, the same for header and table."""
    path = folder / name
    path.write_bytes(content)
    sentences = []
    for read in (open_table, read_header):
        with pytest.raises(InputError) as caught:
            read(path)
        sentences.append(str(caught.value))
    assert len(set(sentences)) == 1
    assert "\n" not in sentences[0]
    return sentences[0].replace(str(path), "PATH")


def encrypted() -> bytes:
    """A zip file whose member is marked as encrypted."""
    content = bytearray(zipped({"table.csv": CSV}))
    content[6] |= 1
    content[content.index(b"PK\x01\x02") + 8] |= 1
    return bytes(content)


def of_unknown_method() -> bytes:
    """A zip file whose member is packed by a method that does not exist."""
    content = bytearray(zipped({"table.csv": CSV}))
    content[8] = content[content.index(b"PK\x01\x02") + 10] = 99
    return bytes(content)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (of_unknown_method(), "PATH is not a complete zip file (That compression method is not supported)."),
        (zipped({}), "expected one table in PATH, got none."),
        (zipped({"a.csv": CSV, "b/c.tsv": CSV}), "expected one table in PATH, got a.csv, b/c.tsv."),
        (zipped({"a": CSV, "b.md": CSV}), "expected one table in PATH, got a, b.md."),
        (
            zipped({f"{number}.csv": CSV for number in range(7)}),
            "expected one table in PATH, got 0.csv, 1.csv, 2.csv, 3.csv, 4.csv, ....",
        ),
        (zipped({".hidden.csv": CSV, "__MACOSX/._a.csv": CSV}), "expected one table in PATH, got none."),
        (
            zipped({"[Content_Types].xml": b"<", "xl/workbook.xml": b"<"}),
            "PATH is an Excel or other office file; save its sheet as CSV (UTF-8).",
        ),
        (
            zipped({"mimetype": b"application/vnd.oasis.opendocument.spreadsheet", "content.xml": b"<"}),
            "PATH is an Excel or other office file; save its sheet as CSV (UTF-8).",
        ),
        (zipped({"features.npy": b""}), "PATH is an .npz file of arrays; give it a name that ends in .npz."),
        (encrypted(), "PATH is encrypted; unpack it with its password."),
        (zipped({"a.csv.gz": gzip.compress(CSV)}), "PATH is packed twice, with zip and gzip; unpack it once."),
        (gzip.compress(bz2.compress(CSV)), "PATH is packed twice, with gzip and bzip2; unpack it once."),
        (zipped({"a.csv": b""}), "PATH is empty; expected a header and rows."),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_packed_file_without_one_table_is_refused(tmp_path: Path, content: bytes, sentence: str) -> None:
    assert refusal(tmp_path, content) == f"data.source: {sentence}"


@pytest.mark.parametrize("name", ["table.csv", "folder/table.tsv", "data"])
@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_the_only_table_of_a_zip_file_is_read(tmp_path: Path, name: str, compression: int) -> None:
    path = tmp_path / "table.zip"
    path.write_bytes(
        zipped({"folder/": b"", "__MACOSX/._table.csv": b"\0", ".DS_Store": b"\0", name: CSV}, compression)
    )
    assert open_table(path).read().frame.rows() == [("CCO", "a"), ("CCN", "b")]


def test_a_text_beside_the_table_of_a_zip_file_does_not_matter(tmp_path: Path) -> None:
    (tmp_path / "table.zip").write_bytes(zipped({"README.md": b"# Drugs", "DRUGS.CSV": CSV}))
    assert read_header(tmp_path / "table.zip") == ["smiles", "label"]


LONG = b"smiles,label\n" + b"".join(b"C%d,a\n" % number for number in random.Random(0).sample(range(10**9), 5_000))
PACKINGS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "zip": lambda content: zipped({"a.csv": content}),
}


@pytest.mark.parametrize("packing", PACKINGS)
def test_a_cut_file_is_not_complete(tmp_path: Path, packing: str) -> None:
    content = PACKINGS[packing](LONG)
    for kept in (len(content) // 2, len(content) - 9):
        sentence = refusal(tmp_path, content[:kept])
        assert re.fullmatch(rf"data\.source: PATH is not a complete {packing} file \(.+\)\.", sentence)


@pytest.mark.parametrize("packing", PACKINGS)
def test_no_damage_is_an_unexpected_error(tmp_path: Path, packing: str) -> None:
    source, content = random.Random(1), PACKINGS[packing](LONG[:2_000])
    outcomes = set()
    for _ in range(100):
        damaged = bytearray(content)
        damaged[source.randrange(len(damaged))] ^= 1 << source.randrange(8)
        (tmp_path / "a.csv").write_bytes(damaged)
        try:
            outcomes.add(open_table(tmp_path / "a.csv").rows)
        except InputError as error:
            outcomes.add(str(error).count("\n"))
    assert outcomes <= {0, len(LONG[:2_000].splitlines()) - 1}


@pytest.mark.parametrize("packing", PACKINGS)
def test_a_bomb_is_refused_with_little_memory(tmp_path: Path, packing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packed_file, "_MOST_UNPACKED_BYTES", 5_000_000)
    monkeypatch.setattr(text_content, "_BLOCK_BYTES", 1 << 16)
    content = PACKINGS[packing](b"smiles,label\n" + b"C,a\n" * 3_000_000)
    tracemalloc.start()
    sentence = _refused_table(tmp_path, content)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert sentence == (
        "data.source: PATH unpacks to more than 100 times its size; unpack it, and give the table in it if that is "
        "what you expect."
    )
    assert peak < 20_000_000


def test_a_bomb_named_parquet_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packed_file, "_MOST_UNPACKED_BYTES", 5_000_000)
    sentence = _refused_table(tmp_path, gzip.compress(b"PAR1\x15" + bytes(20_000_000)))
    assert sentence.startswith("data.source: PATH unpacks to more than 100 times its size")


def _refused_table(folder: Path, content: bytes) -> str:
    path = folder / "bomb"
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        open_table(path)
    return str(caught.value).replace(str(path), "PATH")


def test_a_table_is_read_below_either_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "table.csv.gz"
    monkeypatch.setattr(packed_file, "_MOST_UNPACKED_BYTES", 1_000)
    path.write_bytes(gzip.compress(LONG))
    assert open_table(path).rows == 5_000
    monkeypatch.undo()
    path.write_bytes(gzip.compress(b"smiles,label\n" + b"C,a\n" * 1_000_000))
    assert path.stat().st_size * 100 < 4_000_000
    assert open_table(path).rows == 1_000_000


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path) -> None:
    for path in (tmp_path / "none.csv", tmp_path):
        for read in (open_table, read_header):
            with pytest.raises(InputError, match=rf"^data\.source: expected an existing file, got {path}\.$"):
                read(path)


def test_a_file_that_the_system_does_not_open_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "table.csv"
    path.write_bytes(CSV)

    def refuse(self: Path, mode: str) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(InputError, match=rf"^data\.source: {path} cannot be read \(Permission denied\)\.$"):
        open_table(path)


def test_a_packed_parquet_file_is_read_in_chunks(tmp_path: Path) -> None:
    frame, file = polars.DataFrame({"smiles": list("CNOSP")}), io.BytesIO()
    frame.write_parquet(file)
    (tmp_path / "a.zip").write_bytes(zipped({"a.parquet": file.getvalue()}))
    assert polars.concat([chunk.frame for chunk in open_table(tmp_path / "a.zip").chunks(2)]).equals(frame)
