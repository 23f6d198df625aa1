"""What is stored under its final name is on the disk before it gets this name."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy
import pytest

from datamodules.datasets.table_download import fetch_table
from datamodules.feature_cache import cached_arrays
from tests.datamodules.table_server import TableServer

TABLE = b"ID\tX\tY\na\tCC\t0\nb\tCO\t1\n"


def noted(final: Path, synced: dict[str, tuple[int, bool]]) -> Callable[[int], None]:
    """In place of os.fsync: notes the size of a file by its name, and whether the final name exists."""

    def note(descriptor: int) -> None:
        name = Path(f"/proc/self/fd/{descriptor}").readlink().name
        synced[name] = os.fstat(descriptor).st_size, final.exists()

    return note


def test_a_downloaded_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    path, synced = tmp_path / "hiv.tab", dict[str, tuple[int, bool]]()
    monkeypatch.setattr("os.fsync", noted(path, synced))
    server = TableServer(TABLE)
    try:
        fetch_table(server.address, path, 2)
    finally:
        server.close()
    assert synced["hiv.tab.part"] == (len(TABLE), False)


def test_cached_arrays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arrays = {"codes": numpy.arange(600, dtype=numpy.uint8), "empty": numpy.empty(0, dtype=numpy.int32)}

    def build(folder: Path) -> list[Path]:
        for part in ("a.npz", "b.npz"):
            numpy.savez(folder / part, **arrays)  # type: ignore[arg-type]
        return [folder / "a.npz", folder / "b.npz"]

    synced: dict[str, tuple[int, bool]] = {}
    monkeypatch.setattr("os.fsync", noted(tmp_path / "key", synced))
    cached_arrays(tmp_path, "key", build)
    assert (synced["codes.bin"], synced["empty.bin"]) == ((1200, False), (0, False))
    assert synced["joined"][1] is False
