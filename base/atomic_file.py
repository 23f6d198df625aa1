"""Atomic file writing: files are written under a temporary name and renamed when complete."""

from __future__ import annotations

import json
import os
import re
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import polars

_SYSTEM_ERROR = re.compile(r"\(os error (\d+)\)")


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Name a file in errors of the system that name none, such as that of a full disk, or a temporary one beside it.

    Args:
        path: The file that the block writes.

    Raises:
        OSError: For such an error, also if a library gives it as text.
    """
    try:
        yield
    except Exception as error:
        named = getattr(error, "filename", None)
        if isinstance(named, str) and not Path(named).name.startswith(f".{path.name}."):
            raise
        number = getattr(error, "errno", None)
        found = _SYSTEM_ERROR.search(str(error))
        if number is None and found is not None:
            number = int(found[1])
        if not isinstance(number, int):
            raise
        raise OSError(number, os.strerror(number), str(path)) from error


def write_file(path: Path, write: Callable[[Path], object]) -> None:
    """Write a file atomically, so that readers never see a partial file.

    Args:
        path: Path of the file; its folder is created if missing.
        write: Writes the file to the temporary path that it is called with, in the folder of `path`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        with naming(path):
            write(temporary)
            temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_csv(frame: polars.DataFrame, path: Path) -> None:
    """Write a table as CSV, atomically.

    Args:
        frame: Table to write.
        path: Path of the file; its folder is created if missing.
    """
    write_file(path, frame.write_csv)


def write_json(values: dict[str, Any], path: Path) -> None:
    """Write values as indented JSON, atomically.

    Args:
        values: Values of plain types.
        path: Path of the file; its folder is created if missing.
    """
    write_file(path, lambda temporary: temporary.write_text(json.dumps(values, indent=2) + "\n"))
