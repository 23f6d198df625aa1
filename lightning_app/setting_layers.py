"""Which settings lie under the user's: the shipped ones, or those of a checkpoint."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from datamodules.input_error import InputError

CONFIGS = Path(__file__).resolve().parent.parent / "configs"


def option_value(arguments: Sequence[str], name: str) -> str | None:
    """The value that the command line gives an option, before it is parsed; the last one counts.

    Args:
        arguments: The command line after the subcommand.
        name: The option with its dashes.
    """
    value = None
    for position, argument in enumerate(arguments):
        if argument == name and position + 1 < len(arguments):
            value = arguments[position + 1]
        elif argument.startswith(f"{name}="):
            value = argument.split("=", 1)[1]
    return value


def find_configs(arguments: Sequence[str]) -> list[str]:
    """The command line, with shipped YAML files named by their whole path.

    A file of the current folder goes before a shipped one of the same name.

    Args:
        arguments: The command line after the subcommand.

    Raises:
        InputError: If there is no such file.
    """
    found = []
    for position, argument in enumerate(arguments):
        if position and arguments[position - 1] in ("--config", "-c"):
            found.append(_find_config(argument))
        elif argument.startswith("--config="):
            found.append(f"--config={_find_config(argument.removeprefix('--config='))}")
        else:
            found.append(argument)
    return found


def shipped_names(folder: str) -> list[str]:
    """The shipped YAML files of a folder of `configs`, as `--config` takes them.

    Args:
        folder: Such as `method`.
    """
    return sorted(str(path.relative_to(CONFIGS)) for path in (CONFIGS / folder).rglob("*.yaml"))


def _find_config(name: str) -> str:
    for path in (Path(name), CONFIGS / name, CONFIGS.parent / name):
        if path.is_file():
            return str(path)
    shipped = ", ".join(shipped_names(""))
    raise InputError(f"config: there is no file {name!r}, here or among the shipped ones ({shipped}).")
