"""A digest of settings files, which tells whether runs were trained with the same settings."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

SettingsFiles = Callable[[Sequence[str]], Sequence[Path]]
"""Returns the YAML files whose settings a `lightning fit` with the given arguments uses."""


def digest(files: Sequence[Any]) -> str:
    """Twelve hexadecimal digits of the contents of settings files; comments and layout do not count.

    Args:
        files: The contents as `read_yaml` returns them.
    """
    return hashlib.sha256(json.dumps(files, default=str).encode()).hexdigest()[:12]
