"""A YAML listing of settings with the layer that each value comes from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from workflows.settings.merge import Composition

_WIDTH = 10**6


def list_settings(settings: Mapping[str, Any], composition: Composition) -> str:
    """List settings in YAML, with the layer of each value in a comment.

    Args:
        settings: Nested names and plain values.
        composition: The merged layers; a value that is in none of them is marked as a default.
    """
    return "\n".join(_lines(settings, composition, ()))


def one_line(value: object) -> str:
    """A value in YAML, in one line.

    Args:
        value: A plain value.
    """
    return yaml.safe_dump(value, default_flow_style=True, width=_WIDTH).removesuffix("...\n").strip()


def _lines(settings: Mapping[str, Any], composition: Composition, place: tuple[str, ...]) -> list[str]:
    lines = []
    for name, value in settings.items():
        path, indent = (*place, name), "  " * len(place)
        layer = composition.origin(path) or "default"
        if isinstance(value, dict) and value:
            lines += [f"{indent}{name}:", *_lines(value, composition, path)]
        elif isinstance(value, list) and any(isinstance(item, dict) for item in value):
            block = yaml.safe_dump(value, sort_keys=False, width=_WIDTH).splitlines()
            lines += [f"{indent}{name}:  # {layer}", *(f"{indent}  {line}" for line in block)]
        else:
            lines.append(f"{indent}{name}: {one_line(value)}  # {layer}")
    return lines
