import json
import pickle
import shutil
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datamodules.feature_cache import Arrays, Setting, cache_key, cached_arrays, default_cache_folder


def make_arrays() -> Arrays:
    return {
        "codes": numpy.arange(600, dtype=numpy.uint8).reshape(60, 10),
        "counts": numpy.array([3, -1, 2**40]),
        "valid": numpy.array([True, False]),
        "empty": numpy.empty((0, 10), dtype=numpy.int32),
    }


class Builder:
    """Writes arrays into one file and counts how often."""

    def __init__(self, arrays: Arrays | None = None) -> None:
        self.calls = 0
        self.arrays = make_arrays() if arrays is None else arrays

    def __call__(self, folder: Path) -> list[Path]:
        self.calls += 1
        numpy.savez(folder / "all.npz", **self.arrays)  # type: ignore[arg-type]
        return [folder / "all.npz"]


def same(left: Arrays, right: Arrays) -> bool:
    return left.keys() == right.keys() and all(
        left[name].dtype == right[name].dtype and numpy.array_equal(left[name], right[name]) for name in left
    )


def entries(folder: Path) -> set[str]:
    """What a cache folder holds but for locks, which may stay."""
    return {path.name for path in folder.iterdir() if path.suffix != ".lock"}


def test_the_second_call_reads_what_the_first_built(tmp_path: Path) -> None:
    build = Builder()
    for _ in range(3):
        assert same(cached_arrays(tmp_path / "new" / "folder", "key", build), make_arrays())
    assert build.calls == 1
    assert entries(tmp_path / "new" / "folder") == {"key"}


def test_arrays_are_mapped_read_only(tmp_path: Path) -> None:
    for _ in range(2):
        arrays = cached_arrays(tmp_path, "key", Builder())
        assert isinstance(arrays["codes"], numpy.memmap)
        assert arrays["codes"].mode == "r"
        with pytest.raises(ValueError, match="read-only"):
            arrays["codes"][0] = 0


def test_keys_do_not_share_entries(tmp_path: Path) -> None:
    one, two = Builder(), Builder({"other": numpy.arange(3)})
    for _ in range(2):
        assert same(cached_arrays(tmp_path, "one", one), one.arrays)
        assert same(cached_arrays(tmp_path, "two", two), two.arrays)
    assert (one.calls, two.calls) == (1, 1)
    assert entries(tmp_path) == {"one", "two"}


def test_arrays_of_several_parts_are_joined_in_the_order_of_the_paths(tmp_path: Path) -> None:
    parts: list[Arrays] = [
        {"codes": numpy.array([[5, 6], [7, 8]], dtype=numpy.uint8), "counts": numpy.array([9], dtype=numpy.int32)},
        {"codes": numpy.empty((0, 2), dtype=numpy.uint8), "counts": numpy.array([], dtype=numpy.int32)},
        {"codes": numpy.array([[1, 2]], dtype=numpy.uint8), "counts": numpy.array([3, 4], dtype=numpy.int32)},
        # Of every second column, which does not lie in memory in one piece.
        {"codes": numpy.arange(8, dtype=numpy.uint8).reshape(2, 4)[:, ::2], "counts": numpy.zeros(0, numpy.int32)},
    ]

    def build(folder: Path) -> list[Path]:
        paths = [folder / name for name in ("z.npz", "a.npz", "m.npz", "b.npz")]
        for path, arrays in zip(paths, parts, strict=True):
            numpy.savez(path, **arrays)  # type: ignore[arg-type]
        return paths

    arrays = cached_arrays(tmp_path, "key", build)
    assert arrays["codes"].tolist() == [[5, 6], [7, 8], [1, 2], [0, 2], [4, 6]]
    assert arrays["counts"].tolist() == [9, 3, 4]
    assert {name: str(array.dtype) for name, array in arrays.items()} == {"codes": "uint8", "counts": "int32"}


# Damage


def flip(path: Path, place: int) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


def change_manifest(entry: Path, name: str, value: object) -> None:
    manifest = json.loads((entry / "manifest.json").read_text())
    manifest["codes"][name] = value
    (entry / "manifest.json").write_text(json.dumps(manifest))


def empty_folder(entry: Path) -> None:
    for path in entry.iterdir():
        path.unlink()


def replace_by_file(entry: Path) -> None:
    shutil.rmtree(entry)
    entry.write_text("no folder")


DAMAGES: dict[str, Callable[[Path], object]] = {
    "array cut short": lambda entry: (entry / "codes.bin").write_bytes((entry / "codes.bin").read_bytes()[:-7]),
    "array too long": lambda entry: (entry / "codes.bin").write_bytes((entry / "codes.bin").read_bytes() + b"\0"),
    "array emptied": lambda entry: (entry / "counts.bin").write_bytes(b""),
    "array deleted": lambda entry: (entry / "valid.bin").unlink(),
    "empty array deleted": lambda entry: (entry / "empty.bin").unlink(),
    "array overwritten": lambda entry: (entry / "codes.bin").write_bytes(b"\0" * 600),
    "first bit flipped": lambda entry: flip(entry / "codes.bin", 0),
    "last bit flipped": lambda entry: flip(entry / "codes.bin", -1),
    "arrays exchanged": lambda entry: shutil.copy(entry / "codes.bin", entry / "counts.bin"),
    "manifest deleted": lambda entry: (entry / "manifest.json").unlink(),
    "manifest emptied": lambda entry: (entry / "manifest.json").write_text(""),
    "manifest cut short": lambda entry: (entry / "manifest.json").write_text('{"codes": 12'),
    "manifest no JSON": lambda entry: (entry / "manifest.json").write_text("codes: 12"),
    "manifest of bytes": lambda entry: (entry / "manifest.json").write_bytes(b"\xff\xfe\x00"),
    "manifest a list": lambda entry: (entry / "manifest.json").write_text("[1, 2]"),
    "manifest a number": lambda entry: (entry / "manifest.json").write_text("0"),
    "manifest without arrays": lambda entry: (entry / "manifest.json").write_text("{}"),
    "manifest of numbers": lambda entry: (entry / "manifest.json").write_text('{"codes": 12}'),
    "type unknown": lambda entry: change_manifest(entry, "dtype", "no type"),
    "type of another size": lambda entry: change_manifest(entry, "dtype", "<i4"),
    "shape of another size": lambda entry: change_manifest(entry, "shape", [61, 10]),
    "shape no list": lambda entry: change_manifest(entry, "shape", "600"),
    "shape negative": lambda entry: change_manifest(entry, "shape", [-60, -10]),
    "checksum missing": lambda entry: change_manifest(entry, "checksum", None),
    "folder emptied": empty_folder,
    "folder a file": replace_by_file,
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_entry_is_built_anew(damage: str, tmp_path: Path) -> None:
    build = Builder()
    cached_arrays(tmp_path, "key", build)
    DAMAGES[damage](tmp_path / "key")
    for _ in range(2):
        assert same(cached_arrays(tmp_path, "key", build), make_arrays())
    assert build.calls == 2
    assert entries(tmp_path) == {"key"}


@pytest.mark.parametrize("place", [0, 2**20 - 1, -(2**20), -1])
def test_damage_in_the_first_and_last_megabyte_is_noticed(place: int, tmp_path: Path) -> None:
    build = Builder({"codes": numpy.random.default_rng(0).integers(0, 256, 3 * 2**20, dtype=numpy.uint8)})
    cached_arrays(tmp_path, "key", build)
    flip(tmp_path / "key" / "codes.bin", place)
    assert same(cached_arrays(tmp_path, "key", build), build.arrays)
    assert build.calls == 2


class Trap:
    def __reduce__(self) -> tuple[Callable[[str], object], tuple[str]]:
        return (pytest.fail, ("a pickle was read",))


@pytest.mark.parametrize(("dtype", "builds"), [("|O", 2), ("|V8", 1)])
def test_no_object_is_made_of_an_entry(dtype: str, builds: int, tmp_path: Path) -> None:
    build = Builder()
    cached_arrays(tmp_path, "key", build)
    content = pickle.dumps(Trap())
    content += b"." * (-len(content) % 8)
    (tmp_path / "key" / "codes.bin").write_bytes(content)
    # All that is written of the file fits it: the checksum is of the first and the last megabyte, one behind the other.
    checksum = zlib.crc32(content, zlib.crc32(content))
    described = {"dtype": dtype, "shape": [len(content) // 8], "checksum": checksum}
    (tmp_path / "key" / "manifest.json").write_text(json.dumps({"codes": described}))
    assert not cached_arrays(tmp_path, "key", build)["codes"].dtype.hasobject
    assert build.calls == builds


def test_no_pickle_of_a_part_is_read(tmp_path: Path) -> None:
    build = Builder({"codes": numpy.array([Trap()], dtype=object)})
    with pytest.raises(ValueError, match="Object arrays cannot be loaded when allow_pickle=False"):
        cached_arrays(tmp_path, "key", build)
    assert "key" not in entries(tmp_path)


# Builds that do not end


def test_a_build_that_fails_leaves_no_entry_and_the_next_one_succeeds(tmp_path: Path) -> None:
    def fail(folder: Path) -> list[Path]:
        (folder / "half.npz").write_text("half")
        raise RuntimeError("no molecules")

    build = Builder()
    with pytest.raises(RuntimeError, match="no molecules"):
        cached_arrays(tmp_path, "key", fail)
    assert "key" not in entries(tmp_path)
    assert same(cached_arrays(tmp_path, "key", build), make_arrays())
    assert build.calls == 1
    assert entries(tmp_path) == {"key"}


def test_a_rebuild_finds_what_a_failed_one_left(tmp_path: Path) -> None:
    def fail(folder: Path) -> list[Path]:
        (folder / "half.npz").write_text("half")
        raise RuntimeError("no molecules")

    def look(folder: Path) -> list[Path]:
        found.append((folder / "half.npz").read_text())
        return Builder()(folder)

    found: list[str] = []
    with pytest.raises(RuntimeError, match="no molecules"):
        cached_arrays(tmp_path, "key", fail)
    assert same(cached_arrays(tmp_path, "key", look), make_arrays())
    assert found == ["half"]


def test_what_a_process_killed_while_joining_left_is_not_mixed_in(tmp_path: Path) -> None:
    for name in ("joined", "damaged"):
        (tmp_path / "key.building" / name).mkdir(parents=True)
        (tmp_path / "key.building" / name / "codes.bin").write_bytes(b"\1" * 999)
    assert same(cached_arrays(tmp_path, "key", Builder()), make_arrays())
    assert entries(tmp_path) == {"key"}


def test_a_build_without_arrays_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"features written to .*joined could not be read back; is the disk full\?"):
        cached_arrays(tmp_path, "key", lambda folder: [])
    assert "key" not in entries(tmp_path)


# Keys and the folder


def test_a_key_changes_with_texts_their_order_and_every_setting() -> None:
    texts = ["CCO", "C"]
    settings: dict[str, Setting] = {"radius": 2, "size": 2048, "kinds": ["morgan"], "rdkit": "2026.9"}
    others: list[dict[str, Setting]] = [
        {**settings, "radius": 3},
        {**settings, "size": 1024},
        {**settings, "kinds": ["morgan", "path"]},
        {**settings, "rdkit": "2027.3"},
        {**settings, "more": 1},
        # The same values under other names.
        {**settings, "radius": 2048, "size": 2},
        {},
    ]
    keys = [
        cache_key(texts, settings),
        cache_key(texts[::-1], settings),
        cache_key([*texts, "CC"], settings),
        *(cache_key(texts, other) for other in others),
    ]
    assert len(set(keys)) == len(keys)
    assert keys[0] == cache_key(iter(texts), dict(reversed(settings.items())))
    assert all(len(key) == 32 and key.isalnum() for key in keys)


TEXTS = st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=4), max_size=4)


@given(TEXTS, TEXTS)
def test_keys_are_alike_where_the_texts_are(left: list[str], right: list[str]) -> None:
    assert (cache_key(left, {}) == cache_key(right, {})) == (left == right)


def test_the_folder_comes_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAILMOL_CACHE", str(tmp_path / "own"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert default_cache_folder() == tmp_path / "own"
    monkeypatch.delenv("TAILMOL_CACHE")
    assert default_cache_folder() == tmp_path / "user" / "tailmol"
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    assert default_cache_folder() == tmp_path / "home" / ".cache" / "tailmol"
