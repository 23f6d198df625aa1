import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy
import pytest

from datamodules import part_files
from datamodules.chemistry.molecule_features import FeatureSettings, feature_arrays, featurize
from datamodules.feature_cache import Arrays
from datamodules.part_files import write_parts
from tests.datamodules.example_smiles import INN_STEMS

SMILES = INN_STEMS[:53]


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(part_files, "_MOLECULES_PER_PART", 10)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0}, raising=False)


def lengths(smiles: Sequence[str]) -> Arrays:
    return {"lengths": numpy.array([len(text) for text in smiles], dtype=numpy.int64)}


def lengths_and_process(smiles: Sequence[str]) -> Arrays:
    return {**lengths(smiles), "process": numpy.array([os.getpid()])}


def read(parts: Sequence[Path]) -> Arrays:
    """The arrays of all parts, joined."""
    arrays = [dict(numpy.load(part, allow_pickle=False)) for part in parts]
    return {name: numpy.concatenate([part[name] for part in arrays]) for name in arrays[0]}


class Counted:
    """Computes lengths, notes what of, and fails at one of the SMILES."""

    def __init__(self, fail_at: str | None = None) -> None:
        self.calls: list[list[str]] = []
        self.fail_at = fail_at

    def __call__(self, smiles: Sequence[str]) -> Arrays:
        self.calls.append(list(smiles))
        if self.fail_at in smiles:
            raise RuntimeError(f"no luck with {self.fail_at}")
        return lengths(smiles)


@pytest.mark.parametrize(("size", "parts"), [(0, 1), (1, 1), (10, 1), (11, 2), (53, 6)])
def test_parts_hold_every_molecule_in_order(size: int, parts: int, tmp_path: Path) -> None:
    compute = Counted()
    paths = write_parts(SMILES[:size], compute, tmp_path, "Counting")
    assert len(paths) == len(set(paths)) == parts
    assert sorted(tmp_path.iterdir()) == sorted(paths)
    assert read(paths)["lengths"].tolist() == [len(text) for text in SMILES[:size]]
    assert [text for call in compute.calls for text in call] == SMILES[:size]
    assert max(len(call) for call in compute.calls) <= 10


def test_an_interrupted_call_is_taken_up_where_it_stopped(tmp_path: Path) -> None:
    failing, again, third = Counted(fail_at=SMILES[35]), Counted(), Counted()
    with pytest.raises(RuntimeError, match="no luck with"):
        write_parts(SMILES, failing, tmp_path, "Counting")
    assert failing.calls == [SMILES[start : start + 10] for start in (0, 10, 20, 30)]
    assert len(list(tmp_path.iterdir())) == 3
    paths = write_parts(SMILES, again, tmp_path, "Counting")
    assert again.calls == [SMILES[start : start + 10] for start in (30, 40, 50)]
    assert read(paths)["lengths"].tolist() == [len(text) for text in SMILES]
    assert write_parts(SMILES, third, tmp_path, "Counting") == paths
    assert third.calls == []


def test_a_hole_is_filled(tmp_path: Path) -> None:
    paths = write_parts(SMILES, Counted(), tmp_path, "Counting")
    paths[0].unlink()
    paths[4].unlink()
    compute = Counted()
    assert write_parts(SMILES, compute, tmp_path, "Counting") == paths
    assert compute.calls == [SMILES[:10], SMILES[40:50]]
    assert read(paths)["lengths"].tolist() == [len(text) for text in SMILES]


@pytest.mark.parametrize("damage", [lambda content: b"", lambda content: content[:-30]], ids=["empty", "cut short"])
def test_a_part_that_a_crash_left_broken_is_written_again(damage: Callable[[bytes], bytes], tmp_path: Path) -> None:
    paths = write_parts(SMILES, Counted(), tmp_path, "Counting")
    paths[2].write_bytes(damage(paths[2].read_bytes()))
    compute = Counted()
    assert write_parts(SMILES, compute, tmp_path, "Counting") == paths
    assert compute.calls == [SMILES[20:30]]
    assert read(paths)["lengths"].tolist() == [len(text) for text in SMILES]


def test_parts_of_another_size_are_not_mixed_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_parts(SMILES, Counted(), tmp_path, "Counting")
    monkeypatch.setattr(part_files, "_MOLECULES_PER_PART", 7)
    compute = Counted()
    paths = write_parts(SMILES, compute, tmp_path, "Counting")
    assert len(compute.calls) == len(paths) == 8
    assert read(paths)["lengths"].tolist() == [len(text) for text in SMILES]


def test_features_in_parts_are_those_of_one_call(tmp_path: Path) -> None:
    chosen = FeatureSettings(2, 64)
    found = read(write_parts(SMILES, partial(feature_arrays, settings=chosen), tmp_path, "Featurizing"))
    expected = featurize(SMILES, chosen).to_arrays()
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        assert found[name].dtype == array.dtype
        assert numpy.array_equal(found[name], array)


def test_processes_write_what_one_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 1}, raising=False)
    found = read(write_parts(SMILES, lengths_and_process, tmp_path, "Counting"))
    assert found["lengths"].tolist() == [len(text) for text in SMILES]
    assert len(found["process"]) == 6
    assert os.getpid() not in found["process"]


def test_little_work_starts_no_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 1}, raising=False)
    found = read(write_parts(SMILES[:20], lengths_and_process, tmp_path, "Counting"))
    assert set(found["process"].tolist()) == {os.getpid()}


def test_a_full_disk_is_told_as_such(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object, **settings: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(numpy, "savez", fail)
    with pytest.raises(OSError, match=r"The disk is full: .*part_0000000000_10\.npz could not be written"):
        write_parts(SMILES, Counted(), tmp_path, "Counting")
    assert list(tmp_path.iterdir()) == []


def test_workers_import_no_torch() -> None:
    modules = f"{write_parts.__module__}, {feature_arrays.__module__}"
    code = f"import sys, {modules}; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).resolve().parents[2])
