"""The classes that a checkpoint may name: those of the project, optimizers and schedules, and what the user trusts."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from base.errors import InputError

_ROOT = Path(__file__).resolve().parents[2]
_PACKAGES = ("modules", "datamodules")
_LIBRARY = ("torch.optim", "torch.optim.lr_scheduler", "lightning.pytorch.cli")
"""Modules of other projects, of which optimizers and schedules are known."""


def trusted_modules(trust: str | Sequence[str]) -> tuple[str, ...]:
    """The modules that the user trusts.

    Args:
        trust: Dotted names; one may be given as text.

    Raises:
        InputError: If one is not the name of a module.
    """
    names = (trust,) if isinstance(trust, str) else tuple(trust)
    for name in names:
        if not all(part.isidentifier() for part in name.split(".")):
            raise InputError(f"trust: expected the dotted name of a module, got {name!r}.")
    return names


def is_known(class_path: str, trust: Sequence[str] = ()) -> bool:
    """Whether a class may be imported, judged by its name alone.

    Args:
        class_path: Full path of a class, such as `modules.encoders.GIN`.
        trust: Modules that the user trusts, with those inside them.
    """
    module, _, name = class_path.rpartition(".")
    known = module in _own_modules() or module in _LIBRARY or _is_within(module, trust)
    return known and name.isidentifier()


def is_trusted(path: str, trust: Sequence[str]) -> bool:
    """Whether a class or function is in a module that the user trusts, judged by its name alone.

    Args:
        path: Its full path.
        trust: Modules that the user trusts, with those inside them.
    """
    return _is_within(path.rpartition(".")[0], trust)


def may_be_trusted(path: str) -> bool:
    """Whether a class or function could be one that a user wrote, so that a message may say how to trust it.

    Args:
        path: Its path.
    """
    parts = path.split(".")
    known = {*sys.stdlib_module_names, *_PACKAGES}
    return len(parts) > 1 and parts[0] not in known and all(part.isidentifier() for part in parts)


def import_class(class_path: str, trust: Sequence[str] = ()) -> type | None:
    """Import a class that `is_known`.

    Args:
        class_path: Full path of the class.
        trust: Modules that the user trusts.

    Returns:
        The class; None if there is none of this name, or it is only imported there from a module that is not known.

    Raises:
        InputError: If there is no such module.
    """
    found = _import(class_path)
    if not isinstance(found, type):
        return None
    home = found.__module__
    if home in _own_modules() or _is_within(home, trust):
        return found
    return found if class_path.rpartition(".")[0] in _LIBRARY and _trains(found) else None


def is_trusted_function(path: str, trust: Sequence[str]) -> bool:
    """Whether a path leads to a function that a trusted module defines; imports the module if it is trusted.

    Args:
        path: Full path of the function.
        trust: Modules that the user trusts.

    Raises:
        InputError: If there is no such module.
    """
    return is_trusted(path, trust) and _is_within(getattr(_import(path), "__module__", None) or "", trust)


def _import(path: str) -> Any:
    module, _, name = path.rpartition(".")
    try:
        return getattr(importlib.import_module(module), name, None)
    except ModuleNotFoundError as error:
        raise InputError(f"trust: expected a module that Python finds, got {module!r} ({error}).") from error


@cache
def _own_modules() -> frozenset[str]:
    """The dotted names of the project's modules, from its files, without importing them."""
    files = [path for package in _PACKAGES for path in (_ROOT / package).rglob("*.py")]
    names = (".".join(path.relative_to(_ROOT).with_suffix("").parts) for path in files)
    return frozenset(name.removesuffix(".__init__") for name in names)


def _is_within(module: str, trust: Sequence[str]) -> bool:
    return any(module == name or module.startswith(f"{name}.") for name in trust)


def _trains(found: type) -> bool:
    from torch.optim import Optimizer
    from torch.optim.lr_scheduler import LRScheduler

    return issubclass(found, Optimizer | LRScheduler)
