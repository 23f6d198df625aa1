"""Settings in YAML, each with the layer that it comes from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from workflows.settings.merge import Composition

_WIDE = 10**6


def list_settings(settings: Mapping[str, Any], composition: Composition) -> str:
    """Settings in YAML, with the layer of each value in a comment behind it.

    Args:
        settings: Plain types.
        composition: The layers that the settings are from; what is in none of them is a default.
    """
    return "\n".join(_lines(settings, composition, ()))


def _lines(settings: Mapping[str, Any], composition: Composition, place: tuple[str, ...]) -> list[str]:
    lines = []
    for name, value in settings.items():
        path, indent = (*place, name), "  " * len(place)
        layer = composition.origin(path) or "default"
        if isinstance(value, dict) and value:
            lines += [f"{indent}{name}:", *_lines(value, composition, path)]
        elif isinstance(value, list) and any(isinstance(item, dict) for item in value):
            block = yaml.safe_dump(value, sort_keys=False, width=_WIDE).splitlines()
            lines += [f"{indent}{name}:  # {layer}", *(f"{indent}  {line}" for line in block)]
        else:
            text = yaml.safe_dump(value, default_flow_style=True, width=_WIDE).removesuffix("...\n").strip()
            lines.append(f"{indent}{name}: {text}  # {layer}")
    return lines
