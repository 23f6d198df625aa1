"""What an `.npz` file claims is compared with what it holds before any array is read."""

from __future__ import annotations

import io
import random
import re
import struct
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pytest

from base.errors import InputError
from datamodules.tables import npz_headers
from datamodules.tables.array_table import read_array_names, read_array_table
from tests.datamodules.array_file import save


def npy(header: str, content: bytes = b"", version: int = 1) -> bytes:
    """An `.npy` file with a header of one's own."""
    text = header.encode("latin-1") + b"\n"
    return b"\x93NUMPY" + bytes([version, 0]) + struct.pack("<H" if version == 1 else "<I", len(text)) + text + content


def header(shape: str, dtype: str = "'<f4'") -> str:
    return f"{{'descr': {dtype}, 'fortran_order': False, 'shape': {shape}, }}"


def packed(folder: Path, members: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> Path:
    path = folder / "hostile.npz"
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


ONE = b"\0" * 4


@pytest.mark.parametrize(
    ("members", "problem"),
    [
        ({"features.npy": npy(header("(1000000000000, 1)"), ONE)}, "features.npy claims 4000000000000 bytes and has 4"),
        ({"features.npy": npy(header("(1000000, 1000000)"), ONE)}, "features.npy claims 4000000000000 bytes and has 4"),
        ({"features.npy": npy(header("(1, 1)"))}, "features.npy claims 4 bytes and has 0"),
        ({"features.npy": npy(header("(1, 1)"), ONE * 2)}, "features.npy claims 4 bytes and has 8"),
        ({"features.npy": npy(header("(-1, -1)"), ONE)}, "features.npy has a shape of (-1, -1)"),
        (
            {"labels.npy": npy(header("(1,)", "'|O'"), b"\x80\x04N.")},
            "labels.npy holds objects, neither numbers nor text",
        ),
        (
            {"features.npy": npy(header("(1,)", "[('a', '<f4')]"), ONE)},
            "features.npy holds [('a', '<f4')], neither numbers nor text",
        ),
        ({"features.npy": npy(header("(1,)", "'|V4'"), ONE)}, "features.npy holds |V4, neither numbers nor text"),
        (
            {"features.npy": npy(header("(1,)", "'4f4'"), ONE * 4)},
            "features.npy holds ('<f4', (4,)), neither numbers nor text",
        ),
        ({"features.npy": npy(header("(1, 1)"), ONE, version=2)}, "features.npy has a header as structures have"),
        ({"features.npy": npy("(" * 9_000)}, "the header of features.npy is damaged"),
        ({"features.npy": npy("-" * 9_000 + "1")}, "the header of features.npy is damaged"),
        ({"features.npy": npy("{'''")}, "the header of features.npy is damaged"),
        ({"features.npy": npy("[]")}, "the header of features.npy is damaged"),
        ({"features.npy": npy(" " * 20_000)}, "the header of features.npy is damaged"),
        ({"features.npy": b"\x80\x04N."}, "the header of features.npy is damaged"),
        ({"features.npy": b""}, "the header of features.npy is damaged"),
        ({"features.npy": npy(header("(1, 1)"), ONE), "run.py": b"1"}, "run.py is not an array"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_header_that_claims_too_much_or_too_little_is_refused(
    tmp_path: Path, members: dict[str, bytes], problem: str
) -> None:
    path = packed(tmp_path, members)
    sentence = (
        f"data.source: {path} cannot be read as an .npz of numbers and text ({problem}); write it with numpy.savez."
    )
    for read in (read_array_table, read_array_names):
        tracemalloc.start()
        with pytest.raises(InputError, match=f"^{re.escape(sentence)}$"):
            read(path)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 10_000_000


def test_a_zip_bomb_is_refused_before_it_is_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "bomb.npz"
    numpy.savez_compressed(path, features=numpy.zeros((1_000, 1_000), dtype=numpy.float32))
    assert read_array_table(path, need_labels=False).arrays is not None
    monkeypatch.setattr(npz_headers, "_MOST_BYTES", 1_000_000)
    with pytest.raises(InputError, match=r"\(it unpacks from \d+ to 4000128 bytes; arrays that are mostly zeros are"):
        read_array_table(path)


def test_members_that_share_their_bytes_are_refused(tmp_path: Path) -> None:
    path = packed(tmp_path, {"features.npy": npy(header("(1, 500)"), random.Random(0).randbytes(2_000))})
    content = path.read_bytes()
    entries, end = content[content.index(b"PK\x01\x02") :].split(b"PK\x05\x06")
    copies = entries * 9
    counted = end[:4] + struct.pack("<HHI", 10, 10, len(entries + copies)) + end[12:]
    path.write_bytes(content[: content.index(b"PK\x01\x02")] + entries + copies + b"PK\x05\x06" + counted)
    with pytest.raises(InputError, match=r"\(its members take more bytes than it has\)"):
        read_array_names(path)


@pytest.mark.parametrize("shape", [(10**12, 10**12), (3, 2**40), (3, 10_000_001)])
def test_a_sparse_matrix_of_an_absurd_shape_is_refused(tmp_path: Path, shape: tuple[int, int]) -> None:
    parts = {"data": [1.0], "indices": [0], "indptr": [0, 1, 1, 1], "shape": numpy.array(shape)}
    path = save(tmp_path / "a.npz", **parts)
    sentence = f"data.source: expected at most 10000000 features in {path}, got {shape[1]}."
    with pytest.raises(InputError, match=f"^{re.escape(sentence)}$"):
        read_array_table(path, need_labels=False)


def test_rows_that_a_sparse_matrix_does_not_have_are_refused(tmp_path: Path) -> None:
    parts = {"data": [1.0], "indices": [0], "indptr": [0, 1], "shape": numpy.array((10**12, 3))}
    with pytest.raises(InputError, match=r"the sparse matrix of .* is not valid \(index pointer size"):
        read_array_table(save(tmp_path / "a.npz", **parts), need_labels=False)


def test_a_dense_array_has_a_bounded_width(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("datamodules.tables.array_table._MOST_FEATURES", 11)
    images = numpy.zeros((2, 3, 4), dtype=numpy.uint8)
    with pytest.raises(InputError, match=r"^data\.source: expected at most 11 features in \S+, got 12\.$"):
        read_array_table(save(tmp_path / "a.npz", images=images), need_labels=False)


WRITERS: list[Callable[..., None]] = [numpy.savez, numpy.savez_compressed]


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize("values", [numpy.ones((3, 2), order="F"), numpy.eye(3, dtype=bool), numpy.ones((2, 2), ">f8")])
def test_what_numpy_writes_is_read(tmp_path: Path, write: Callable[..., None], values: Any) -> None:
    write(
        tmp_path / "a.npz",
        features=values,
        labels=numpy.array(list("abc")[: len(values)]),
        ids=numpy.zeros(len(values), int),
    )
    table = read_array_table(tmp_path / "a.npz")
    assert table.arrays is not None
    assert numpy.array_equal(table.arrays.dense(numpy.arange(len(values))), values)


def test_no_damage_is_an_unexpected_error(tmp_path: Path) -> None:
    source, file = random.Random(0), io.BytesIO()
    numpy.savez(file, features=numpy.ones((2, 2)), labels=numpy.array(["a", "b"]))
    whole = file.getvalue()
    sentences = []
    for _ in range(400):
        damaged = bytearray(whole)
        damaged[source.randrange(len(damaged))] ^= 1 << source.randrange(8)
        (tmp_path / "a.npz").write_bytes(damaged)
        try:
            read_array_table(tmp_path / "a.npz")
        except InputError as error:
            sentences.append(str(error))
    assert len(sentences) > 100
    assert not any("\n" in sentence for sentence in sentences)
