"""Atomic file writing: files are written under a temporary name and renamed when complete."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import polars


def write_file(path: Path, write: Callable[[Path], object]) -> None:
    """Write a file atomically, so that readers never see a partial file.

    Args:
        path: Path of the file; its folder is created if missing.
        write: Writes the file to the temporary path that it is called with, in the folder of `path`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        write(temporary)
        temporary.replace(path)
    except OSError as error:
        # The user knows the target, not the temporary file; a full disk names neither.
        if error.filename in (None, str(temporary)):
            error.filename = str(path)
        raise
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
