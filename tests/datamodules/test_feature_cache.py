import json
import pickle
import shutil
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from threading import Barrier

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datamodules.feature_cache import cache_key, cached_arrays, default_cache_folder
from datamodules.molecule_features import Features, FeatureSettings


def make_arrays() -> Features:
    return {
        "codes": numpy.arange(600, dtype=numpy.uint8).reshape(60, 10),
        "counts": numpy.array([3, -1, 2**40]),
        "valid": numpy.array([True, False]),
        "empty": numpy.empty((0, 10), dtype=numpy.int32),
    }


class Builder:
    def __init__(self) -> None:
        self.calls = 0

    def __call__(self) -> Features:
        self.calls += 1
        return make_arrays()


def same(left: Features, right: Features) -> bool:
    return left.keys() == right.keys() and all(
        left[name].dtype == right[name].dtype and numpy.array_equal(left[name], right[name]) for name in left
    )


def store_in_new_process(folder: Path) -> bool:
    return same(cached_arrays(folder, "key", make_arrays), make_arrays())


def test_the_second_call_reads_what_the_first_built(tmp_path: Path) -> None:
    build = Builder()
    for _ in range(3):
        arrays = cached_arrays(tmp_path / "new" / "folder", "key", build)
        assert same(arrays, make_arrays())
    assert build.calls == 1
    assert [path.name for path in (tmp_path / "new" / "folder").iterdir()] == ["key"]


def test_arrays_are_mapped_read_only(tmp_path: Path) -> None:
    arrays = cached_arrays(tmp_path, "key", make_arrays)
    assert isinstance(arrays["codes"], numpy.memmap)
    with pytest.raises(ValueError, match="read-only"):
        arrays["codes"][0] = 0


def test_keys_do_not_share_entries(tmp_path: Path) -> None:
    build = Builder()
    cached_arrays(tmp_path, "one", build)
    cached_arrays(tmp_path, "two", build)
    assert build.calls == 2
    assert {path.name for path in tmp_path.iterdir()} == {"one", "two"}


# Damage


def flip_last_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def save_pickle(entry: Path) -> None:
    """An array that only pickle can read, with the checksum that the manifest wants."""
    numpy.save(entry / "codes.npy", numpy.array([{"a": 1}], dtype=object), allow_pickle=True)
    manifest = json.loads((entry / "manifest.json").read_text())
    manifest["codes"] = zlib.crc32((entry / "codes.npy").read_bytes())
    (entry / "manifest.json").write_text(json.dumps(manifest))


def empty_folder(entry: Path) -> None:
    for path in entry.iterdir():
        path.unlink()


def replace_by_file(entry: Path) -> None:
    shutil.rmtree(entry)
    entry.write_text("no folder")


DAMAGES: dict[str, Callable[[Path], object]] = {
    "array cut short": lambda entry: (entry / "codes.npy").write_bytes((entry / "codes.npy").read_bytes()[:-7]),
    "array emptied": lambda entry: (entry / "counts.npy").write_bytes(b""),
    "array deleted": lambda entry: (entry / "valid.npy").unlink(),
    "one bit flipped": lambda entry: flip_last_byte(entry / "codes.npy"),
    "arrays exchanged": lambda entry: shutil.copy(entry / "codes.npy", entry / "counts.npy"),
    "array pickled": save_pickle,
    "manifest deleted": lambda entry: (entry / "manifest.json").unlink(),
    "manifest emptied": lambda entry: (entry / "manifest.json").write_text(""),
    "manifest cut short": lambda entry: (entry / "manifest.json").write_text('{"codes": 12'),
    "manifest of bytes": lambda entry: (entry / "manifest.json").write_bytes(b"\xff\xfe\x00"),
    "manifest a list": lambda entry: (entry / "manifest.json").write_text("[1, 2]"),
    "manifest a number": lambda entry: (entry / "manifest.json").write_text("0"),
    "manifest without arrays": lambda entry: (entry / "manifest.json").write_text("{}"),
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
    assert [path.name for path in tmp_path.iterdir()] == ["key"]


class Trap:
    def __reduce__(self) -> tuple[Callable[[str], object], tuple[str]]:
        return (pytest.fail, ("a pickle was read",))


def test_no_pickle_is_ever_read(tmp_path: Path) -> None:
    cached_arrays(tmp_path, "key", make_arrays)
    entry = tmp_path / "key"
    content = pickle.dumps(Trap())
    (entry / "codes.npy").write_bytes(content)
    manifest = json.loads((entry / "manifest.json").read_text())
    manifest["codes"] = zlib.crc32(content)
    (entry / "manifest.json").write_text(json.dumps(manifest))
    assert same(cached_arrays(tmp_path, "key", make_arrays), make_arrays())


def test_arrays_of_objects_are_refused_and_leave_nothing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Object arrays cannot be saved when allow_pickle=False"):
        cached_arrays(tmp_path, "key", lambda: {"names": numpy.array(["a", None], dtype=object)})
    assert list(tmp_path.iterdir()) == []


def test_a_build_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def fail() -> Features:
        raise RuntimeError("no molecules")

    with pytest.raises(RuntimeError, match="no molecules"):
        cached_arrays(tmp_path, "key", fail)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_told_as_such(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object, **settings: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(numpy, "save", fail)
    with pytest.raises(OSError, match="No space left on device"):
        cached_arrays(tmp_path, "key", make_arrays)
    assert list(tmp_path.iterdir()) == []


# Several at once


def test_who_stores_second_keeps_what_the_first_stored(tmp_path: Path) -> None:
    def build_slowly() -> Features:
        first = cached_arrays(tmp_path, "key", make_arrays)
        inodes.append((tmp_path / "key").stat().st_ino)
        return first

    inodes: list[int] = []
    assert same(cached_arrays(tmp_path, "key", build_slowly), make_arrays())
    assert inodes == [(tmp_path / "key").stat().st_ino]
    assert [path.name for path in tmp_path.iterdir()] == ["key"]


@pytest.mark.parametrize("damaged", [False, True] * 5)
def test_threads_that_build_at_once_end_in_one_right_entry(damaged: bool, tmp_path: Path) -> None:
    if damaged:
        cached_arrays(tmp_path, "key", make_arrays)
        flip_last_byte(tmp_path / "key" / "codes.npy")
    barrier = Barrier(4)

    def build() -> Features:
        barrier.wait(timeout=20)
        return make_arrays()

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: cached_arrays(tmp_path, "key", build), range(4)))
    assert all(same(arrays, make_arrays()) for arrays in found)
    assert same(cached_arrays(tmp_path, "key", pytest.fail), make_arrays())
    assert [path.name for path in tmp_path.iterdir()] == ["key"]


def test_processes_that_build_at_once_end_in_one_right_entry(tmp_path: Path) -> None:
    with get_context("spawn").Pool(2) as pool:
        assert pool.map(store_in_new_process, [tmp_path] * 4, chunksize=1) == [True] * 4
    assert [path.name for path in tmp_path.iterdir()] == ["key"]


# Keys and the folder


def test_a_key_changes_with_texts_their_order_and_every_setting() -> None:
    texts, settings = ["CCO", "C"], (FeatureSettings(2, 2048), 1, "2026.9")
    keys = [
        cache_key(texts, *settings),
        cache_key(texts[::-1], *settings),
        cache_key([*texts, "CC"], *settings),
        cache_key(texts, FeatureSettings(3, 2048), *settings[1:]),
        cache_key(texts, FeatureSettings(2, 1024), *settings[1:]),
        cache_key(texts, settings[0], 2, settings[2]),
        cache_key(texts, *settings[:2], "2027.3"),
        cache_key(texts),
    ]
    assert len(set(keys)) == len(keys)
    assert keys[0] == cache_key(iter(texts), *settings)
    assert all(len(key) == 32 and key.isalnum() for key in keys)


LINES = st.lists(st.text(st.characters(exclude_characters="\n", exclude_categories=["Cs"]), max_size=4), max_size=4)


@given(LINES, LINES)
def test_keys_are_alike_where_the_texts_are(left: list[str], right: list[str]) -> None:
    assert (cache_key(left) == cache_key(right)) == (left == right)


def test_the_folder_comes_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAILMOL_CACHE", str(tmp_path / "own"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert default_cache_folder() == tmp_path / "own"
    monkeypatch.delenv("TAILMOL_CACHE")
    assert default_cache_folder() == tmp_path / "user" / "tailmol"
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    assert default_cache_folder() == tmp_path / "home" / ".cache" / "tailmol"
