"""Processes that need the same features at the same time, and processes that are killed while they compute them."""

import os
import signal
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from pathlib import Path
from threading import Barrier

import numpy
import pytest

from datamodules import part_files
from datamodules.feature_cache import Arrays, cached_arrays
from datamodules.part_files import write_parts

SMILES = ["C" * length for length in range(1, 51)]
LENGTHS = list(range(1, 51))


def entries(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if path.suffix != ".lock"}


def wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, "waited a minute in vain"
        time.sleep(0.01)


def note(folder: Path, text: str) -> None:
    with (folder / "log").open("a") as log:
        log.write(f"{text}\n")


def noted(folder: Path) -> list[str]:
    return (folder / "log").read_text().split()


def start(target: Callable[..., None], *arguments: object) -> BaseProcess:
    # A daemon, so that a test that fails does not wait for the sleepers.
    process = get_context("spawn").Process(target=target, args=arguments, daemon=True)
    process.start()
    return process


def lengths(smiles: Sequence[str], folder: Path, stop_at: int | None = None) -> Arrays:
    """The length of each SMILES; notes the first one, and sleeps for ever at one of them."""
    note(folder, str(len(smiles[0])))
    if len(smiles[0]) == stop_at:
        time.sleep(600)
    return {"lengths": numpy.array([len(text) for text in smiles])}


def build_in_parts(folder: Path, stop_at: int | None = None) -> Arrays:
    part_files._MOLECULES_PER_PART = 10
    compute = partial(lengths, folder=folder, stop_at=stop_at)
    return cached_arrays(folder / "cache", "key", lambda work: write_parts(SMILES, compute, work, "Counting"))


def build_until_stopped(folder: Path, stop_at: int | None) -> None:
    os.sched_getaffinity = lambda process: {0}
    build_in_parts(folder, stop_at)


def build_beside_another(folder: Path, name: str) -> None:
    """Build as soon as two processes are about to; the one that builds takes long enough for the other to ask."""

    def build(work: Path) -> list[Path]:
        note(folder, name)
        wait_for(lambda: len(list(folder.glob("ready_*"))) == 2)
        time.sleep(0.3)
        numpy.savez(work / "all.npz", lengths=numpy.array(LENGTHS))
        return [work / "all.npz"]

    (folder / f"ready_{name}").touch()
    assert cached_arrays(folder / "cache", "key", build)["lengths"].tolist() == LENGTHS


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(part_files, "_MOLECULES_PER_PART", 10)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0}, raising=False)


@pytest.mark.parametrize("damaged", [False, True])
def test_of_two_processes_one_builds_and_both_read(damaged: bool, tmp_path: Path) -> None:
    if damaged:
        build_in_parts(tmp_path)
        (tmp_path / "log").unlink()
        (tmp_path / "cache" / "key" / "lengths.bin").write_bytes(b"damaged")
    processes = [start(build_beside_another, tmp_path, name) for name in ("one", "two")]
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0]
    assert len(noted(tmp_path)) == 1
    assert entries(tmp_path / "cache") == {"key"}


def test_what_a_killed_process_computed_is_used_by_the_next(tmp_path: Path) -> None:
    process = start(build_until_stopped, tmp_path, 31)
    wait_for(lambda: (tmp_path / "log").is_file() and noted(tmp_path)[-1:] == ["31"])
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    assert noted(tmp_path) == ["1", "11", "21", "31"]
    assert "key" not in entries(tmp_path / "cache")
    assert build_in_parts(tmp_path)["lengths"].tolist() == LENGTHS
    assert noted(tmp_path) == ["1", "11", "21", "31", "31", "41"]
    assert entries(tmp_path / "cache") == {"key"}


def test_a_process_that_waits_goes_on_where_the_builder_was_killed(tmp_path: Path) -> None:
    builder = start(build_until_stopped, tmp_path, 21)
    wait_for(lambda: (tmp_path / "log").is_file() and noted(tmp_path)[-1:] == ["21"])
    waiting = start(build_until_stopped, tmp_path, None)
    waiting.join(1)
    assert waiting.is_alive()
    assert builder.pid is not None
    os.kill(builder.pid, signal.SIGKILL)
    builder.join(60)
    waiting.join(60)
    assert (builder.exitcode, waiting.exitcode) == (-signal.SIGKILL, 0)
    assert noted(tmp_path) == ["1", "11", "21", "21", "31", "41"]
    assert build_in_parts(tmp_path)["lengths"].tolist() == LENGTHS
    assert noted(tmp_path)[6:] == []


def test_a_failed_build_is_taken_up_by_the_next_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object, **settings: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(numpy, "savez", fail)
        with pytest.raises(OSError, match=r"The disk is full: .*part_0000000000_10\.npz could not be written"):
            build_in_parts(tmp_path)
    assert noted(tmp_path) == ["1"]
    assert build_in_parts(tmp_path)["lengths"].tolist() == LENGTHS
    assert noted(tmp_path)[1:] == ["1", "11", "21", "31", "41"]


def test_threads_that_ask_at_once_end_in_one_right_entry(tmp_path: Path) -> None:
    barrier = Barrier(4)

    def ask(number: int) -> list[int]:
        barrier.wait(timeout=20)
        return build_in_parts(tmp_path)["lengths"].tolist()  # type: ignore[no-any-return]

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(ask, range(4))) == [LENGTHS] * 4
    assert noted(tmp_path) == ["1", "11", "21", "31", "41"]
    assert entries(tmp_path / "cache") == {"key"}
