"""Arrays on disk, read by memory map, under a key of what they were computed from."""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy
from numpy.typing import NDArray

from base.atomic_file import write_json
from base.process_lock import exclusive_lock

Arrays = dict[str, NDArray[Any]]
"""Arrays by name; those of several groups of molecules can be joined end to end."""

Setting = str | int | float | Sequence[str]

FEATURE_VERSION = 10
"""Changes whenever the features, the drug or the scaffold of a SMILES change, so that older ones are not read."""

_MANIFEST = "manifest.json"
_CHECKED_BYTES = 1 << 20


def default_cache_folder() -> Path:
    """`$TAILMOL_CACHE`, else `tailmol` in the user's cache folder."""
    if "TAILMOL_CACHE" in os.environ:
        return Path(os.environ["TAILMOL_CACHE"])
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tailmol"


def cache_key(contents: Iterable[str], settings: Mapping[str, Setting]) -> str:
    """A hash of texts, in order, and of all settings and versions that decide what is computed from them.

    Args:
        contents: The texts.
        settings: Values by name; their order does not matter.
    """
    named = json.dumps(settings, sort_keys=True, separators=(",", ":"), allow_nan=False)
    digest = hashlib.sha256(named.encode())
    digest.update("\0".join(["", *contents]).encode())
    return digest.hexdigest()[:32]


def cached_arrays(folder: Path, key: str, build: Callable[[Path], Sequence[Path]]) -> Arrays:
    """The arrays stored under `key`, built first if they are missing or damaged.

    One process builds while others that ask for the same key wait. A build continues where a killed one stopped.
    Damage is noticed by the size of each file and a checksum of its first and last megabyte, so that opening takes
    milliseconds whatever the size.

    Args:
        folder: The cache; each entry is a folder in it, named by its key.
        key: From `cache_key`.
        build: Given a folder to work in, writes `.npz` files with arrays of the same names, and returns their paths;
            the arrays are joined in this order. The folder may hold files of an interrupted build.

    Returns:
        The arrays, mapped into memory read-only.
    """
    entry = folder / key
    arrays = _open(entry)
    if arrays is not None:
        return arrays
    folder.mkdir(parents=True, exist_ok=True)
    with exclusive_lock(folder / f"{key}.lock", "featurizes the same molecules"):
        arrays = _open(entry)
        if arrays is None:
            work = folder / f"{key}.building"
            work.mkdir(exist_ok=True)
            joined = work / "joined"
            _join(build(work), joined)
            arrays = _open(joined)
            if arrays is None:
                raise OSError(f"The features written to {joined} could not be read back; is the disk full?")
            if entry.exists():
                entry.rename(work / f"damaged_{os.getpid()}")
            joined.rename(entry)
            shutil.rmtree(work)
    return arrays


def _join(parts: Sequence[Path], folder: Path) -> None:
    """Append the arrays of all parts, one part in memory at a time."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    manifest: dict[str, dict[str, Any]] = {}
    for part in parts:
        with numpy.load(part, allow_pickle=False) as arrays:
            for name, array in arrays.items():
                described = manifest.setdefault(name, {"dtype": array.dtype.str, "shape": [0, *array.shape[1:]]})
                described["shape"][0] += len(array)
                with _file(folder, name).open("ab") as file:
                    file.write(numpy.ascontiguousarray(array).data)
    for name, described in manifest.items():
        with _file(folder, name).open("rb") as file:
            # The checksum is of the first and last megabyte, so a crash of the machine could lose others unnoticed.
            os.fsync(file.fileno())
        described["checksum"] = _checksum(_file(folder, name))
    # This syncs the folder, too.
    write_json(manifest, folder / _MANIFEST)


def _open(entry: Path) -> Arrays | None:
    """The arrays of an entry, or None if any part of it is missing or not as written."""
    try:
        manifest = json.loads((entry / _MANIFEST).read_text())
        arrays = {}
        for name, described in manifest.items():
            path, dtype, shape = _file(entry, name), numpy.dtype(described["dtype"]), tuple(described["shape"])
            size = dtype.itemsize * math.prod(shape)
            if dtype.hasobject or path.stat().st_size != size or _checksum(path) != described["checksum"]:
                return None
            arrays[name] = numpy.memmap(path, dtype, "r", shape=shape) if size else numpy.empty(shape, dtype)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None
    return arrays or None


def _file(entry: Path, name: str) -> Path:
    return entry / f"{name}.bin"


def _checksum(path: Path) -> int:
    with path.open("rb") as file:
        checksum = zlib.crc32(file.read(_CHECKED_BYTES))
        file.seek(max(0, path.stat().st_size - _CHECKED_BYTES))
        return zlib.crc32(file.read(), checksum)
