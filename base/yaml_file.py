"""Read a YAML file of settings, which a few lines could otherwise make larger than memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from base.errors import InputError

_MOST_BYTES = 1_000_000
_MOST_VALUES = 100_000
_MOST_LEVELS = 50


def read_yaml(path: Path, load: Callable[[str], Any] = yaml.safe_load) -> Any:
    """The content of a YAML file.

    Args:
        path: The file.
        load: Reads YAML.

    Raises:
        InputError: If the file cannot be read, is not YAML, has more than a megabyte, nests values more than 50 levels
            deep, or has more than 100,000 values, those that aliases repeat included.
    """
    try:
        with path.open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
        problem = "it has more than a megabyte" if len(content) > _MOST_BYTES else _find_excess(content.decode())
        # A number or a date that Python does not take is a ValueError.
        settings = None if problem else load(content.decode())
    except (OSError, ValueError, yaml.YAMLError) as error:
        problem = " ".join(str(error).split())
        raise InputError(f"config: {path} cannot be read as YAML ({problem}).") from error
    if problem:
        raise InputError(f"config: {path} cannot be read as YAML ({problem}).")
    return settings


@dataclass
class _Value:
    """A value: name of its anchor, number of values in it and with it, and levels of nesting below it."""

    anchor: str | None = None
    values: int = 1
    levels: int = 0


def _find_excess(text: str) -> str | None:
    """What YAML has too much of, each alias counted as if it were written out; None if it is fit to load."""
    anchored: dict[str | None, _Value] = {}
    open_values: list[_Value] = []
    for event in yaml.parse(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
        value = _Value()
        if isinstance(event, yaml.CollectionStartEvent):
            open_values.append(_Value(event.anchor))
        elif isinstance(event, yaml.AliasEvent):
            if event.anchor in (outer.anchor for outer in open_values):
                return f"*{event.anchor} stands within the value that it repeats"
            value = anchored.get(event.anchor, value)
        elif isinstance(event, yaml.CollectionEndEvent):
            value = open_values.pop()
            anchored[value.anchor] = value
        elif isinstance(event, yaml.ScalarEvent):
            anchored[event.anchor] = value
        else:
            continue
        if len(open_values) + value.levels > _MOST_LEVELS:
            return f"its values nest more than {_MOST_LEVELS} levels deep"
        if open_values and not isinstance(event, yaml.CollectionStartEvent):
            outer = open_values[-1]
            outer.values, outer.levels = outer.values + value.values, max(outer.levels, value.levels + 1)
            if outer.values > _MOST_VALUES:
                return f"it has more than {_MOST_VALUES:,} values"
    return None
