"""Which settings lie under the user's: the shipped ones, or those of a checkpoint."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from base.errors import InputError
from datamodules.datasets.dataset_catalog import find_dataset

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


def dataset_settings(arguments: Sequence[str]) -> Path | None:
    """The shipped settings of a data set that the command line names.

    Args:
        arguments: The command line after the subcommand.
    """
    source = option_value(arguments, "--data.source")
    shipped = CONFIGS / "data" / f"{source}.yaml"
    return shipped if source is not None and find_dataset(source) is not None and shipped.is_file() else None


def settings_files(arguments: Sequence[str]) -> list[Path]:
    """The YAML files whose settings a `fit` with this command line has, the lowest layer first.

    Args:
        arguments: The command line after `fit`.

    Raises:
        InputError: If there is no such file.
    """
    found = find_configs(arguments)
    named = [Path(word) for option, word in pairwise(found) if option in ("--config", "-c")]
    named += [Path(word.removeprefix("--config=")) for word in found if word.startswith("--config=")]
    dataset = dataset_settings(arguments)
    return [CONFIGS / "default.yaml", *([dataset] if dataset else []), *named]


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
