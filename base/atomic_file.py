"""Files that are whole or not there: written to a temporary name, then renamed."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import polars


def write_file(path: Path, write: Callable[[Path], object]) -> None:
    """Call `write` with a temporary path in the folder of `path`, then rename what it wrote.

    Args:
        path: Where the file goes; its folder is made if need be.
        write: Writes the file it is given the path of.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        write(temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_csv(frame: polars.DataFrame, path: Path) -> None:
    """A table as CSV."""
    write_file(path, frame.write_csv)


def write_json(values: dict[str, Any], path: Path) -> None:
    """Plain values as indented JSON."""
    write_file(path, lambda temporary: temporary.write_text(json.dumps(values, indent=2) + "\n"))
