"""The settings of a checkpoint that a command uses, after their check."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from modules.saved_settings.checkpoint_check import CheckpointCheck
from workflows.settings.command_help import Option

_OF_THE_USER: Mapping[str, tuple[str, ...]] = {
    "trainer": (
        *("accelerator", "strategy", "devices"),
        *("callbacks", "logger", "plugins", "profiler", "default_root_dir", "model_registry"),
    ),
    "data": ("cache_folder",),
    "tracking": ("entity",),
}
"""Settings that may be objects or folders, or say who receives the results, which a checkpoint never gives."""

_DDP = ("ddp", "ddp_spawn", "ddp_fork", "ddp_notebook")
_MACHINE = {
    "accelerator": "auto|cpu|gpu|cuda|mps|tpu",
    "strategy": f"auto|fsdp|({'|'.join(_DDP)})(_find_unused_parameters_(true|false))?",
    "devices": r"auto|-?\d+(,\d+)*",
}
"""Patterns of the names among them that stand for no file and no import."""


def checked_settings(
    check: CheckpointCheck,
    settings: Mapping[str, Any],
    types: Mapping[str, type | Option],
    unused: Mapping[str, tuple[str, ...]],
) -> dict[str, Any]:
    """Take the settings that a command uses from those of a checkpoint, and check them.

    Args:
        check: The check.
        settings: The settings of the checkpoint.
        types: What to take: by name the class whose arguments a section holds, or the option.
        unused: Further arguments to leave out, by section, beside those that may be objects or folders.

    Raises:
        InputError: If one of them names a class that is not known, or cannot be for its setting.
    """
    found: dict[str, Any] = {}
    for name in [name for name in types if name in settings]:
        known = types[name]
        if isinstance(known, Option):
            check.check_value(known.hint, settings[name], name)
            found[name] = settings[name]
        else:
            left_out = (*unused.get(name, ()), *_OF_THE_USER.get(name, ()))
            found[name] = check.section(settings, name, known, left_out)
    if "trainer" in found:
        found["trainer"] |= _machine(settings["trainer"])
    return found


def left_to_the_user(settings: Mapping[str, Any], used: Mapping[str, Any]) -> list[str]:
    """The settings of the user in a checkpoint that were left out and not given again, as dotted names.

    Args:
        settings: The settings of the checkpoint.
        used: The settings of the command.
    """
    return [
        f"{section}.{name}"
        for section, names in _OF_THE_USER.items()
        for name in names
        if (settings.get(section) or {}).get(name) and used.get(section, {}).get(name) is None
    ]


def without_own(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings without those that change no training, or that a resumed run does not take from its checkpoint.

    Args:
        settings: Settings of a run, as plain types.
    """
    kept = {name: value for name, value in settings.items() if name not in ("run", "tracking", "report")}
    for section in kept.keys() & _OF_THE_USER.keys():
        own = _OF_THE_USER[section]
        kept[section] = {name: value for name, value in kept[section].items() if name not in own}
    return kept


def given_again(settings: Mapping[str, Any]) -> list[str]:
    """The options that give a resumed run the settings that it does not take from its checkpoint.

    Args:
        settings: The settings of the command, as plain types.
    """
    values = {
        section: {name: value for name in names if (value := settings.get(section, {}).get(name)) is not None}
        for section, names in _OF_THE_USER.items()
    }
    return given_options(values)


def given_options(settings: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """The options that give settings.

    Args:
        settings: Plain values by section and name.
    """
    return [
        f"--{section}.{name}={value if isinstance(value, str) else json.dumps(value)}"
        for section, given in settings.items()
        for name, value in given.items()
    ]


def named_modules(settings: Any) -> tuple[str, ...]:
    """The modules of the classes that settings name.

    Args:
        settings: Settings as plain types.
    """
    inner = settings.values() if isinstance(settings, dict) else settings if isinstance(settings, list) else ()
    own = settings.get("class_path") if isinstance(settings, dict) else None
    found = {module for value in inner for module in named_modules(value)}
    return tuple(sorted(found | ({own.rpartition(".")[0]} if isinstance(own, str) else set())))


def _machine(trainer: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of the machine that are numbers, lists of numbers, or names without a file behind them."""

    def is_plain(name: str, value: Any) -> bool:
        if isinstance(value, list):
            return all(isinstance(item, int) for item in value)
        return isinstance(value, int) or (isinstance(value, str) and bool(re.fullmatch(_MACHINE[name], value)))

    return {name: trainer[name] for name in _MACHINE if name in trainer and is_plain(name, trainer[name])}
