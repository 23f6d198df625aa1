"""Flat arrays on disk, read by memory map, under a key that says what they were made from."""

from __future__ import annotations

import contextlib
import errno
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
    return _store(entry, build()) if arrays is None else arrays


def _store(entry: Path, arrays: Features) -> Features:
    """Write an entry and map it; the maps outlive the files, should another process replace them."""
    entry.parent.mkdir(parents=True, exist_ok=True)
    building = Path(tempfile.mkdtemp(prefix=f"{entry.name}.", dir=entry.parent))
    try:
        checksums = {}
        for name, array in arrays.items():
            path = building / f"{name}.npy"
            numpy.save(path, array, allow_pickle=False)
            checksums[name] = zlib.crc32(path.read_bytes())
        (building / _MANIFEST).write_text(json.dumps(checksums))
        mapped = _load(building)
        if mapped is None:
            raise OSError(f"The features written to {building} could not be read back; is the disk full?")
        if entry.exists() and _load(entry) is None:
            _remove(entry)
        try:
            building.rename(entry)
        except OSError as error:
            # Another process stored the same key first; its content is the same.
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
                raise
        return mapped
    finally:
        shutil.rmtree(building, ignore_errors=True)


def _remove(entry: Path) -> None:
    """Rename, then delete, so that no reader meets half an entry."""
    aside = Path(tempfile.mkdtemp(prefix=f"{entry.name}.damaged.", dir=entry.parent))
    # Another process that found the same damage may have been faster.
    with contextlib.suppress(FileNotFoundError):
        entry.rename(aside / entry.name)
    shutil.rmtree(aside)


def _load(entry: Path) -> Features | None:
    """The arrays of an entry, or None where any part of it is missing or not what was written."""
    try:
        checksums = json.loads((entry / _MANIFEST).read_text())
        if not isinstance(checksums, dict) or not checksums:
            return None
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
