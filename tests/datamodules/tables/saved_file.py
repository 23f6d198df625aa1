"""Files of tables."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import polars


def parquet(values: dict[str, Any]) -> bytes:
    file = io.BytesIO()
    polars.DataFrame(values).write_parquet(file)
    return file.getvalue()


def save(folder: Path, content: bytes | str, name: str = "drugs.csv") -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path
