from __future__ import annotations

import gzip
import io
import pickle
import sqlite3
import tarfile
from pathlib import Path

import numpy
import polars
import pytest
from rdkit import Chem

from base.errors import InputError
from datamodules.tables.table_file import open_table, read_header

FRAME = polars.DataFrame({"smiles": ["CCO"], "label": ["a"]})


def arrow() -> bytes:
    file = io.BytesIO()
    FRAME.write_ipc(file)
    return file.getvalue()


def database(folder: Path) -> bytes:
    with sqlite3.connect(folder / "a.db") as connection:
        connection.execute("CREATE TABLE drugs (smiles TEXT)")
    connection.close()
    return (folder / "a.db").read_bytes()


def archive() -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as opened:
        opened.addfile(tarfile.TarInfo("a.csv"))
    return file.getvalue()


def array() -> bytes:
    file = io.BytesIO()
    numpy.save(file, numpy.zeros(3))
    return file.getvalue()


def molecules() -> bytes:
    return f"{Chem.MolToMolBlock(Chem.MolFromSmiles('CCO'))}> <label>\na\n\n$$$$\n".encode()


CSV = "save its table as CSV (UTF-8)"


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (
            b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(500),
            "an Excel or other office file; save its sheet as CSV (UTF-8)",
        ),
        (b"\x28\xb5\x2f\xfd" + bytes(9), "packed with zstd, which is not read; unpack it with zstd -d"),
        (b"7z\xbc\xaf\x27\x1c" + bytes(9), "an archive of a kind that is not read; unpack it"),
        (archive(), "an archive of a kind that is not read; unpack it"),
        (gzip.compress(archive()), "an archive of a kind that is not read; unpack it"),
        (arrow(), "an Arrow or Feather file; save it as Parquet"),
        (b"\x89HDF\r\n\x1a\n" + bytes(9), f"an HDF5 file; {CSV}"),
        (b"%PDF-1.7\n%", f"a PDF document; {CSV}"),
        (array(), "a single array; write features and labels with numpy.savez, as .npz"),
        (pickle.dumps(FRAME.to_dict()), f"a pickle, which is never read; {CSV}"),
        (gzip.compress(pickle.dumps([1], protocol=2)), f"a pickle, which is never read; {CSV}"),
        (b"\n<!DOCTYPE html>\n<title>Not found</title>", "a web page or XML; download or save the table itself"),
        (b"\xef\xbb\xbf<HTML>", "a web page or XML; download or save the table itself"),
        (molecules(), "an SD or mol file; write its molecules as SMILES to a CSV file"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_other_formats_are_refused_with_what_to_do(tmp_path: Path, content: bytes, sentence: str) -> None:
    path = tmp_path / "table.csv"
    path.write_bytes(content)
    for read in (open_table, read_header):
        with pytest.raises(InputError) as caught:
            read(path)
        assert str(caught.value) == f"data.source: {path} is {sentence}."


def test_a_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_bytes(database(tmp_path))
    with pytest.raises(InputError) as caught:
        open_table(path)
    assert str(caught.value) == f"data.source: {path} is an SQLite database; {CSV}."


@pytest.mark.parametrize(
    "text", ["%PDF,smiles\n1,C\n", "a\n\n\n V2000,smiles\nx\n", "7z,smiles\n1,C\n", "<a>,smiles\n1,C\n"]
)
def test_tables_that_begin_alike_are_read(tmp_path: Path, text: str) -> None:
    (tmp_path / "table.csv").write_text(text)
    assert open_table(tmp_path / "table.csv").rows > 0
