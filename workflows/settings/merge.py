"""Layers of settings, laid over each other as plain dictionaries."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

Path = tuple[str, ...]
"""Names from the outermost to the innermost, such as ("model", "encoder", "class_path")."""


@dataclass(frozen=True)
class Layer:
    """Settings that are laid over others.

    Attributes:
        name: Shown to the user, such as `method/paper.yaml`.
        settings: Nested names and plain values.
    """

    name: str
    settings: Mapping[str, Any]


@dataclass(frozen=True)
class Composition:
    """Several layers in one.

    Attributes:
        settings: Nested names and plain values.
        origins: The name of the layer that each value is from.
    """

    settings: dict[str, Any] = field(default_factory=dict)
    origins: dict[Path, str] = field(default_factory=dict)

    def origin(self, path: Path) -> str | None:
        """The layer that a value, or the list or class around it, is from; None if it is from no layer."""
        for length in range(len(path), 0, -1):
            if path[:length] in self.origins:
                return self.origins[path[:length]]
        return None


def compose(layers: Iterable[Layer]) -> Composition:
    """Lay each layer over those before it.

    Mappings are merged and everything else is replaced, lists too. Where a layer names another class (`class_path`),
    the options of the class before are dropped; where it names the same class again, they are kept. A class may be
    given by its path alone, and its `init_args` without that word, as the command line allows it.

    Args:
        layers: The lowest one first; they are not changed.
    """
    composition = Composition()
    for layer in layers:
        _lay_over(composition, composition.settings, layer.settings, layer.name, ())
    return composition


def without_replaced_classes(lower: Mapping[str, Any], upper: Mapping[str, Any]) -> dict[str, Any]:
    """Settings without the classes that others laid over them replace.

    Args:
        lower: The settings.
        upper: The same, with the others laid over them.
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
    """Whether two spellings name one class: a name alone, the package that exports it, or the module that defines it.

    Args:
        one: Such as `modules.encoders.GIN`.
        other: Such as `GIN` or `modules.encoders.gin.GIN`.
    """
    first, second = one.split("."), other.split(".")
    return first[-1] == second[-1] and (1 in (len(first), len(second)) or first[0] == second[0])


def _lay_over(
    composition: Composition, lower: dict[str, Any], upper: Mapping[str, Any], layer: str, place: Path
) -> None:
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
        _lay_over(composition, lower[name], value, layer, path)


def _as_class(given: Any, below: Any) -> Any:
    """What is laid over a class, in its long form."""
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
