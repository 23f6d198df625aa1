"""Flat arrays on disk, read by memory map, under a key that says what they were made from."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy

from datamodules.molecule_features import Features

_MANIFEST = "manifest.json"


def default_cache_folder() -> Path:
    """`$TAILMOL_CACHE`, else `tailmol` in the user's cache folder."""
    if "TAILMOL_CACHE" in os.environ:
        return Path(os.environ["TAILMOL_CACHE"])
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tailmol"


def cache_key(contents: Iterable[str], *settings: object) -> str:
    """A hash of texts, in order, and of everything else that decides the features."""
    digest = hashlib.sha256(repr(settings).encode())
    for text in contents:
        digest.update(b"\n" + text.encode())
    return digest.hexdigest()[:32]


def cached_arrays(folder: Path, key: str, build: Callable[[], Features]) -> Features:
    """The arrays stored under `key`, built first where they are missing or damaged.

    Args:
        folder: Where every entry has a folder of its own, named by its key.
        key: From `cache_key`.
        build: Computes the arrays.

    Returns:
        The arrays, mapped into memory read-only.
    """
    entry = folder / key
    arrays = _load(entry)
    if arrays is None:
        _store(entry, build())
        arrays = _load(entry)
        if arrays is None:
            raise OSError(f"The features written to {entry} could not be read back; is the disk full?")
    return arrays


def _store(entry: Path, arrays: Features) -> None:
    entry.parent.mkdir(parents=True, exist_ok=True)
    building = Path(tempfile.mkdtemp(prefix=f"{entry.name}.", dir=entry.parent))
    checksums = {}
    for name, array in arrays.items():
        path = building / f"{name}.npy"
        numpy.save(path, array, allow_pickle=False)
        checksums[name] = zlib.crc32(path.read_bytes())
    (building / _MANIFEST).write_text(json.dumps(checksums))
    if entry.exists():
        # Renamed before it is deleted, so that no reader meets half an entry.
        damaged = Path(tempfile.mkdtemp(prefix=f"{entry.name}.damaged.", dir=entry.parent))
        entry.rename(damaged / entry.name)
        shutil.rmtree(damaged)
    try:
        building.rename(entry)
    except OSError:
        # Another process stored the same key first; its content is the same.
        shutil.rmtree(building)


def _load(entry: Path) -> Features | None:
    """The arrays of an entry, or None where any part of it is missing or not what was written."""
    try:
        checksums = json.loads((entry / _MANIFEST).read_text())
        arrays = {}
        for name, checksum in checksums.items():
            path = entry / f"{name}.npy"
            if zlib.crc32(path.read_bytes()) != checksum:
                return None
            empty = numpy.load(path, allow_pickle=False, mmap_mode=None).size == 0
            arrays[name] = numpy.load(path, allow_pickle=False, mmap_mode=None if empty else "r")
    except (OSError, ValueError):
        return None
    return arrays
