"""Open a file as it is, or packed with gzip, bzip2, xz or zip, which its first bytes tell and not its name."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import re
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any, cast

from base.errors import InputError

Open = Callable[[], IO[bytes]]
"""Opens the content of a file from its start."""

HEAD_BYTES = 1 << 20

_MOST_UNPACKED_BYTES = 1 << 30
_MOST_TIMES_LARGER = 100
_BUFFER_BYTES = 1 << 16
_PACKINGS: dict[str, tuple[re.Pattern[bytes], tuple[str, ...], Callable[[Path], Any]]] = {
    "gzip": (re.compile(rb"\x1f\x8b\x08"), (".gz", ".gzip"), gzip.open),
    "bzip2": (re.compile(rb"BZh[1-9](1AY&SY|\x17rE8P\x90)"), (".bz2",), bz2.open),
    "xz": (re.compile(rb"\xfd7zXZ\0"), (".xz",), lzma.open),
    "zip": (re.compile(rb"PK(\x03\x04|\x05\x06)"), (".zip",), lambda path: _open_member(path)),
}
# macOS adds such files.
_HIDDEN = re.compile(r"(^|/)(\.|__MACOSX/)")
_TABLE_SUFFIXES = (".csv", ".tsv", ".tab", ".txt", ".smi", ".smiles", ".parquet", ".pq")


@dataclass(frozen=True)
class UnpackedFile:
    """The content of a file, unpacked.

    Attributes:
        path: The file.
        name: Its name without the suffix of the packing, or the name of the only table in a zip file.
        open: Opens the content.
        head: The first megabyte of the content.
        packed: Whether the file is packed.
    """

    path: Path
    name: str
    open: Open
    head: bytes
    packed: bool


def unpack(path: Path) -> UnpackedFile:
    """Find out how a file is packed.

    What is read through the result raises InputError where the file is damaged, or unpacks to more than a gigabyte and
    more than a hundred times its size.

    Args:
        path: The file.

    Raises:
        InputError: If there is no such file, it is packed twice, or is a zip file of anything but one table.
    """
    if not path.is_file():
        raise InputError(f"data.source: expected an existing file, got {path}.")
    opener = cast(Open, partial(path.open, "rb"))
    try:
        head = _head(opener)
    except OSError as error:
        raise InputError(f"data.source: {path} cannot be read ({error.strerror}).") from error
    packing = _packing(head)
    if packing is None:
        return UnpackedFile(path, path.name, opener, head, packed=False)
    name = _find_member(path).filename if packing == "zip" else _without_suffix(path.name, _PACKINGS[packing][1])
    opener = partial(_open_packed, path, packing)
    head = _head(opener)
    if _packing(head):
        raise InputError(f"data.source: {path} is packed twice, with {packing} and {_packing(head)}; unpack it once.")
    return UnpackedFile(path, name, opener, head, packed=True)


def _head(opener: Open) -> bytes:
    with opener() as file:
        return file.read(HEAD_BYTES)


def _packing(head: bytes) -> str | None:
    return next((packing for packing, (magic, _, _) in _PACKINGS.items() if magic.match(head)), None)


def _without_suffix(name: str, suffixes: tuple[str, ...]) -> str:
    return name[: name.rindex(".")] if name.lower().endswith(suffixes) else name


def _find_member(path: Path) -> zipfile.ZipInfo:
    """The only table of a zip file."""
    with _damage_told(path, "zip"), zipfile.ZipFile(path) as archive:
        members = archive.infolist()
    names = {member.filename for member in members}
    if "[Content_Types].xml" in names or "mimetype" in names:
        raise InputError(f"data.source: {path} is an Excel or other office file; save its sheet as CSV (UTF-8).")
    if any(name.endswith(".npy") for name in names):
        raise InputError(f"data.source: {path} is an .npz file of arrays; give it a name that ends in .npz.")
    files = [member for member in members if not member.is_dir() and not _HIDDEN.search(member.filename)]
    tables = [member for member in files if member.filename.lower().endswith(_TABLE_SUFFIXES)] or files
    if len(tables) != 1:
        listed = [member.filename for member in tables[:5]] + ["..."] * (len(tables) > 5)
        raise InputError(f"data.source: expected one table in {path}, got {', '.join(listed) or 'none'}.")
    if tables[0].flag_bits & 1:
        raise InputError(f"data.source: {path} is encrypted; unpack it with its password.")
    return tables[0]


def _open_member(path: Path) -> IO[bytes]:
    # The archive stays open for as long as its member is.
    with zipfile.ZipFile(path) as archive:
        return archive.open(_find_member(path))


def _open_packed(path: Path, packing: str) -> IO[bytes]:
    with _damage_told(path, packing):
        return io.BufferedReader(_UnpackedStream(_PACKINGS[packing][2](path), path, packing), _BUFFER_BYTES)


@contextmanager
def _damage_told(path: Path, packing: str) -> Iterator[None]:
    errors = (EOFError, OSError, NotImplementedError, zlib.error, lzma.LZMAError, zipfile.BadZipFile)
    try:
        yield
    except errors as error:
        raise InputError(f"data.source: {path} is not a complete {packing} file ({error}).") from error


class _UnpackedStream(io.RawIOBase):
    """What a packed file unpacks to, within bounds."""

    def __init__(self, file: IO[bytes], path: Path, packing: str) -> None:
        self._file, self._path, self._packing = file, path, packing
        self._left = max(_MOST_UNPACKED_BYTES, _MOST_TIMES_LARGER * path.stat().st_size)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        with _damage_told(self._path, self._packing):
            count: int = self._file.readinto(buffer)  # type: ignore[attr-defined]
        self._left -= count
        if self._left < 0:
            raise InputError(
                f"data.source: {self._path} unpacks to more than {_MOST_TIMES_LARGER} times its size; unpack it, and "
                "give the table in it if that is what you expect."
            )
        return count

    def close(self) -> None:
        self._file.close()
        super().close()
