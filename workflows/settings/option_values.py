"""The valid values of a command-line option, from its type."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import sys
from collections.abc import Callable
from types import UnionType
from typing import Literal, Union, get_args, get_origin

# Packages with classes that an option may name.
_PACKAGES = ("modules.", "datamodules.", "lightning.", "torch.optim.")
_KINDS = {int: "an integer", float: "a number", str: "a string", type(None): "null"}


def import_classes() -> None:
    """Import every class of this project that an option may name."""
    for package in (importlib.import_module(name) for name in ("modules", "datamodules")):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            # A kernel has no class to name, and needs Triton.
            if not module.name.endswith("_kernel"):
                importlib.import_module(module.name)


def listed_values(hint: object) -> list[str]:
    """The values that an option can take, as far as they can be listed.

    Args:
        hint: Type of the option.
    """
    if hint is bool:
        return ["true", "false"]
    if get_origin(hint) is Literal:
        return [str(value) for value in get_args(hint)]
    if get_origin(hint) in (Union, UnionType):
        return list(dict.fromkeys(value for part in get_args(hint) for value in listed_values(part)))
    return sorted({import_path(cls) for cls in named_classes(hint)})


def describe_values(hint: object) -> str | None:
    """A description of the values that an option can take; None if its type cannot be described.

    Args:
        hint: Type of the option.
    """
    parts = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    words: list[str] = []
    for part in parts:
        found: list[str | None] = [*listed_values(part)] or [_describe(part)]
        words += [word for word in found if word is not None]
        if None in found:
            return None
    return " or ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def named_classes(hint: object) -> list[type]:
    """The imported classes that an option can name.

    Args:
        hint: Type of the option.
    """
    if get_origin(hint) in (Union, UnionType, Callable):
        return [cls for part in get_args(hint) for cls in named_classes(part)]
    if not isinstance(hint, type) or not hint.__module__.startswith(_PACKAGES):
        return []
    named = [] if inspect.isabstract(hint) or hint.__name__.startswith("_") else [hint]
    derived: list[type] = hint.__subclasses__()
    return named + [further for cls in derived for further in named_classes(cls)]


def import_path(cls: type) -> str:
    """The shortest import path of a class.

    Args:
        cls: The class.
    """
    parts = cls.__module__.split(".")
    for depth in range(1, len(parts)):
        package = ".".join(parts[:depth])
        if getattr(sys.modules[package], cls.__name__, None) is cls:
            return f"{package}.{cls.__name__}"
    return f"{cls.__module__}.{cls.__name__}"


def _describe(part: object) -> str | None:
    if get_origin(part) in (list, tuple):
        of_each = [one for one in get_args(part) if one is not Ellipsis]
        inner = describe_values(next(iter(of_each), None))
        number = f"{len(of_each)} " if get_origin(part) is tuple and Ellipsis not in get_args(part) else ""
        if inner is None or get_origin(of_each[0]) is Literal:
            return inner and f"a list of {inner}"
        return f"a list of {number}{inner.removeprefix('an ').removeprefix('a ')}s"
    return _KINDS.get(part) if isinstance(part, type) else None
