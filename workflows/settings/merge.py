"""Merging of layers of settings, as plain dictionaries."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

Path = tuple[str, ...]
"""Names from the outermost to the innermost, such as ("model", "encoder", "class_path")."""


@dataclass(frozen=True)
class Layer:
    """Settings that override those of lower layers.

    Attributes:
        name: Name to show, such as `method/paper.yaml`.
        settings: Nested names and plain values.
    """

    name: str
    settings: Mapping[str, Any]


@dataclass(frozen=True)
class Composition:
    """Merged layers.

    Attributes:
        settings: Nested names and plain values.
        origins: Name of the layer that each value comes from.
    """

    settings: dict[str, Any] = field(default_factory=dict)
    origins: dict[Path, str] = field(default_factory=dict)

    def origin(self, path: Path) -> str | None:
        """The name of the layer that a value, or the list or class around it, comes from; None without one."""
        for length in range(len(path), 0, -1):
            if path[:length] in self.origins:
                return self.origins[path[:length]]
        return None


def compose(layers: Iterable[Layer]) -> Composition:
    """Merge layers of settings.

    Mappings are merged; all other values, including lists, are replaced. If a layer names a different class
    (`class_path`), the options of the lower class are dropped; if it names the same class, they are kept. As on the
    command line, a class may be given by its path alone, and its options without `init_args`.

    Args:
        layers: The layers, the lowest first; they are not modified.
    """
    composition = Composition()
    for layer in layers:
        _merge(composition, composition.settings, layer.settings, layer.name, ())
    return composition


def without_replaced_classes(lower: Mapping[str, Any], upper: Mapping[str, Any]) -> dict[str, Any]:
    """Settings without the classes that higher layers replace.

    Args:
        lower: The settings.
        upper: The settings, merged with the higher layers.
    """
    kept: dict[str, Any] = {}
    for name, value in lower.items():
        over = upper.get(name)
        if not isinstance(value, dict) or not isinstance(over, dict):
            kept[name] = copy.deepcopy(value)
        elif not _is_other_class(value, over):
            kept[name] = without_replaced_classes(value, over)
    return kept


def is_same_class(one: str, other: str) -> bool:
    """Whether two names refer to the same class, by its name alone, its package or its module.

    Args:
        one: A name, such as `modules.encoders.GIN`.
        other: Another name, such as `GIN` or `modules.encoders.gin.GIN`.
    """
    first, second = one.split("."), other.split(".")
    return first[-1] == second[-1] and (1 in (len(first), len(second)) or first[0] == second[0])


def _merge(composition: Composition, lower: dict[str, Any], upper: Mapping[str, Any], layer: str, place: Path) -> None:
    for name, given in upper.items():
        path, below = (*place, name), lower.get(name)
        value = _as_class(given, below)
        if not isinstance(value, Mapping):
            _forget(composition, path)
            lower[name] = copy.deepcopy(value)
            composition.origins[path] = layer
            continue
        if isinstance(below, str) and "init_args" in value and "class_path" not in value:
            lower[name] = {"class_path": below}
            composition.origins[(*path, "class_path")] = composition.origins.pop(path)
        elif not isinstance(below, dict) or _is_other_class(below, value):
            _forget(composition, path)
            lower[name] = {}
        _merge(composition, lower[name], value, layer, path)


def _as_class(given: Any, below: Any) -> Any:
    """A value that overrides a class, in its long form with `class_path` or `init_args`."""
    if not isinstance(below, dict) or "class_path" not in below:
        return given
    if isinstance(given, str):
        return {"class_path": given}
    if isinstance(given, Mapping) and given and not {"class_path", "init_args", "dict_kwargs"} & set(given):
        return {"init_args": given}
    return given


def _is_other_class(below: Mapping[str, Any], over: Mapping[str, Any]) -> bool:
    one, other = below.get("class_path"), over.get("class_path")
    return isinstance(one, str) and isinstance(other, str) and not is_same_class(one, other)


def _forget(composition: Composition, path: Path) -> None:
    for known in [known for known in composition.origins if known[: len(path)] == path]:
        del composition.origins[known]
