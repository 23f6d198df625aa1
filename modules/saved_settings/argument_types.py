"""The types of a class's arguments, taken apart for the check of settings."""

from __future__ import annotations

import collections.abc
import inspect
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, TypeAlias, Union, get_args, get_origin, get_type_hints

Options: TypeAlias = tuple[object, ...]
"""The types that an argument may have: the members of a union, or one; none if they are not known."""

_TEXT = (str, Path, timedelta, Any)
_PLAIN = (int, float, bool, NoneType)
_COLLECTIONS = (list, tuple, set, frozenset, dict)


def argument_types(cls: type) -> dict[str, Options]:
    """The types of a class's arguments by name, with those of its bases where it passes arguments on.

    Args:
        cls: The class.

    Returns:
        Any for an argument without a type, and no type where one is defined for type checkers only.
    """
    found: dict[str, Options] = {}
    for base in cls.__mro__:
        if base is object or "__init__" not in vars(base):
            continue
        function = vars(base)["__init__"]
        parameters = inspect.signature(function).parameters.values()
        hints = _hints(function)
        for parameter in parameters:
            untyped: Options = (Any,) if parameter.annotation is parameter.empty else ()
            found.setdefault(parameter.name, options(hints[parameter.name]) if parameter.name in hints else untyped)
        if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
            break
    return found


def options(hint: object) -> Options:
    """Take a type apart.

    Args:
        hint: The type.
    """
    if get_origin(hint) in (Union, UnionType):
        return tuple(option for part in get_args(hint) for option in options(part))
    return (hint,)


def takes_text(types: Options, text: str) -> bool:
    """Whether text for an argument is text for the parser of settings too, and not the path of a class or a file.

    Args:
        types: Types of the argument.
        text: The text.
    """
    if any(get_origin(part) is Literal and text in get_args(part) for part in types):
        return True
    is_text = any(part in _TEXT for part in types)
    plain = (*_TEXT, *_PLAIN, list[str])
    return is_text and all(part in plain or get_origin(part) in (Literal, dict) for part in types)


def takes_function(types: Options) -> bool:
    """Whether an argument may be a function.

    Args:
        types: Types of the argument.
    """
    return any(_is_function(part) for part in types)


def classes_of(types: Options) -> tuple[type, ...]:
    """The classes whose instances an argument takes, or which it makes if it is a function.

    Args:
        types: Types of the argument.
    """
    found: list[type] = []
    for part in types:
        made = options(get_args(part)[-1]) if _is_function(part) and get_args(part) else (part,)
        found += [one for one in made if isinstance(one, type) and get_origin(one) is None]
    return tuple(one for one in found if one not in (*_TEXT, *_PLAIN, *_COLLECTIONS, object))


def items_of(types: Options) -> Options:
    """The types of the items where an argument is a list.

    Args:
        types: Types of the argument.
    """
    found: list[object] = []
    for part in types:
        origin = get_origin(part)
        if part is Any or part in _COLLECTIONS:
            found.append(Any)
        elif isinstance(origin, type) and issubclass(origin, (list, tuple, set, frozenset, Sequence)):
            found += [one for inner in get_args(part) if inner is not ... for one in options(inner)]
    return tuple(found)


def values_of(types: Options) -> Options:
    """The types of the values where an argument is a mapping.

    Args:
        types: Types of the argument.
    """
    found: list[object] = []
    for part in types:
        origin = get_origin(part)
        if part is Any or part is dict:
            found.append(Any)
        elif isinstance(origin, type) and issubclass(origin, Mapping):
            found += options(get_args(part)[1])
    return tuple(found)


def _hints(function: Callable[..., object]) -> dict[str, object]:
    # What is imported for type checkers only is not found; most often it is from collections.abc.
    for further in ({}, vars(collections.abc)):
        with suppress(NameError):
            return get_type_hints(function, localns=further)
    return {}


def _is_function(part: object) -> bool:
    return (get_origin(part) or part) is Callable
