"""Atomic file writing: files are written beside their target, synced, and renamed when complete."""

from __future__ import annotations

import errno
import json
import os
import re
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from base.errors import DiskFullError, is_disk_full

if TYPE_CHECKING:
    import polars


_TEMPORARY_NAME = re.compile(r"\..+\.[0-9a-f]{32}")


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Name the file that a block writes piece by piece in errors of the system.

    Args:
        path: The file, of which the block writes pieces under temporary names beside it.

    Raises:
        DiskFullError: If no space is left.
        OSError: With the path, if the error names none or a piece.
    """
    try:
        yield
    except Exception as error:
        if is_disk_full(error):
            raise DiskFullError(f"The disk is full: {path} could not be written.") from error
        if isinstance(error, OSError) and f".{path.name}." in os.fsdecode(error.filename or f".{path.name}."):
            error.filename = str(path)
        raise


def write_file(path: Path, write: Callable[[Path], object]) -> None:
    """Write a file atomically, so that readers never see a partial file, also after a crash of the machine.

    Args:
        path: Path of the file; its folder is created if missing.
        write: Writes the file to the temporary path that it is called with, in the folder of `path`.

    Raises:
        DiskFullError: If no space is left; an existing file is unchanged.
    """
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(temporary)
        # Otherwise the new name could reach the disk before the content.
        _sync(temporary)
        temporary.replace(path)
        _sync_folder(path.parent)
    except Exception as error:
        if is_disk_full(error):
            state = "its previous version is unchanged" if path.exists() else "no part of it was left"
            raise DiskFullError(f"The disk is full: {path} could not be written; {state}.") from error
        # The user knows the target, not the temporary file.
        if isinstance(error, OSError) and error.filename in (None, str(temporary)):
            error.filename = str(path)
        raise
    finally:
        temporary.unlink(missing_ok=True)


def write_binary(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    """Write a file atomically, as `write_file` does, by a function that takes an open file.

    With a path, numpy would append a suffix, and torch would not raise the error of the operating system.

    Args:
        path: Path of the file; its folder is created if missing.
        write: Writes to the open file.

    Raises:
        DiskFullError: If no space is left; an existing file is unchanged.
    """

    def write_opened(temporary: Path) -> None:
        with temporary.open("wb") as file:
            write(file)

    write_file(path, write_opened)


def remove_unfinished(folder: Path) -> None:
    """Remove the temporary files that a killed process has left in a folder.

    Args:
        folder: A folder into which no other process is writing; the folders in it are left alone.
    """
    for path in folder.glob(".*"):
        if _TEMPORARY_NAME.fullmatch(path.name) and path.is_file() and not path.is_symlink():
            path.unlink()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync_folder(path: Path) -> None:
    try:
        _sync(path)
    except OSError as error:
        # Some network file systems sync folders by themselves and do not know the call.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise


def write_csv(frame: polars.DataFrame, path: Path) -> None:
    """Write a table as CSV, atomically.

    Args:
        frame: Table to write.
        path: Path of the file; its folder is created if missing.
    """
    write_file(path, frame.write_csv)


def write_json(values: dict[str, Any] | list[Any], path: Path) -> None:
    """Write values as indented JSON, atomically.

    Args:
        values: Values of plain types.
        path: Path of the file; its folder is created if missing.
    """
    write_file(path, lambda temporary: temporary.write_text(json.dumps(values, indent=2) + "\n"))
