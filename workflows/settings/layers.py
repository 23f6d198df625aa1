"""The layers of settings under a command: shipped files, the user's files, and the options of the command line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from jsonargparse import get_loader

from base.errors import InputError
from datamodules.datasets.dataset_catalog import find_dataset
from workflows.settings.merge import Composition, Layer, compose, without_replaced_classes

CONFIGS = Path(__file__).resolve().parents[2] / "configs"

FOLDERS = ("data", "recommended", "encoder", "method")
"""Folders of `configs` whose files are layers, the lowest first; base.yaml lies under them, the user's files over them.

Files of one folder lie over each other in the order in which they are given.
"""

_OF_OTHER_COMMANDS = ("benchmark", "sweep")


@dataclass(frozen=True)
class FileLayer(Layer):
    """A layer that was read from a file.

    Attributes:
        path: The file.
    """

    path: Path


@dataclass(frozen=True)
class CommandLine:
    """A command line, taken apart.

    Attributes:
        configs: What `--config` names, in order.
        options: Names without dashes, and values as text; a name that ends in + appends to a list.
        rest: Words that are no option with a value.
    """

    configs: tuple[str, ...]
    options: tuple[tuple[str, str], ...]
    rest: tuple[str, ...]

    def value(self, name: str) -> str | None:
        """The last value of an option, or None where it is not given."""
        return dict(self.options).get(name)

    def layer(self) -> Layer:
        """The options as a layer; their order does not matter."""
        settings: dict[str, Any] = {}
        for name, text in sorted(self.options, key=lambda option: option[0].count(".")):
            if not name.endswith("+"):
                settings = compose([Layer("", settings), Layer("", _nested(name, _load(text)))]).settings
        return Layer("option", settings)

    def without(self, settings: Sequence[str]) -> CommandLine:
        """The command line without the options of some settings.

        Args:
            settings: Such as `model.optimizer`.
        """
        names = tuple(settings)
        kept = [
            (name, value)
            for name, value in self.options
            if name not in names and not name.startswith(tuple(f"{one}." for one in names))
        ]
        return CommandLine(self.configs, tuple(kept), self.rest)

    def words(self) -> list[str]:
        """The options for a parser, which must meet a class before its options, and the rest."""
        options = sorted(self.options, key=lambda option: option[0].count("."))
        return [*(f"--{name}={value}" for name, value in options), *self.rest]


@dataclass(frozen=True)
class CommandSettings:
    """The settings of a command.

    Attributes:
        files: The layers under the options, the lowest first.
        composition: All layers in one, with the origin of each value.
        under_options: The layers under the options in one, without classes that an option replaces.
        words: The options, for a parser.
        ignored: Settings of the user's that a checkpoint decides, and decides otherwise.
    """

    files: tuple[Layer, ...]
    composition: Composition
    under_options: dict[str, Any]
    words: list[str]
    ignored: tuple[str, ...] = ()


def read_command(
    arguments: Sequence[str], checkpoint: Layer | None = None, fixed: Sequence[str] = ()
) -> CommandSettings:
    """Find and compose the settings of a command, whatever the order of its options.

    Args:
        arguments: The command line after the subcommand.
        checkpoint: The settings of a checkpoint, which take the place of base.yaml, of the layers that belong to a data
            set, and of the default method.
        fixed: Settings that stay as the checkpoint has them, such as `model.optimizer`.

    Raises:
        InputError: If a file is missing, is no mapping in YAML, or is for another subcommand.
    """
    command = take_apart(arguments)
    files = _files(command) if checkpoint is None else [checkpoint, *_named(command)]
    ignored: tuple[str, ...] = ()
    if checkpoint is not None and fixed:
        told = compose([*files, command.layer()]).settings
        ignored = tuple(name for name in fixed if _get(told, name) != _get(checkpoint.settings, name))
        files = [checkpoint, *(Layer(layer.name, _without(layer.settings, fixed)) for layer in files[1:])]
        command = command.without(fixed)
    whole, under = compose([*files, command.layer()]), compose(files)
    return CommandSettings(
        tuple(files), whole, without_replaced_classes(under.settings, whole.settings), command.words(), ignored
    )


def take_apart(arguments: Sequence[str]) -> CommandLine:
    """Divide a command line into settings files, options and the rest.

    Args:
        arguments: The command line after the subcommand.
    """
    configs, options, rest = [], [], []
    words = list(arguments)
    while words:
        word = words.pop(0)
        name, equals, value = word.partition("=")
        name = "--config" if name == "-c" else name
        if not name.startswith("--") or (not equals and (not words or words[0].startswith("--"))):
            rest.append(word)
            continue
        value = value if equals else words.pop(0)
        if name == "--config":
            configs.append(value)
        else:
            options.append((name.removeprefix("--"), value))
    return CommandLine(tuple(configs), tuple(options), tuple(rest))


def option_value(arguments: Sequence[str], name: str) -> str | None:
    """The value that the command line gives an option, before it is parsed; the last one counts.

    Args:
        arguments: The command line after the subcommand.
        name: The option with its dashes.
    """
    return take_apart(arguments).value(name.removeprefix("--"))


def settings_files(arguments: Sequence[str]) -> list[Path]:
    """The YAML files whose settings a `fit` with this command line has, the lowest layer first.

    Args:
        arguments: The command line after `fit`.

    Raises:
        InputError: If there is no such file.
    """
    return [layer.path for layer in read_command(arguments).files if isinstance(layer, FileLayer)]


def find_config(name: str) -> Path:
    """A settings file; one of the current folder goes before a shipped one of the same name.

    Args:
        name: A path, or a shipped file's, such as `method/paper.yaml`.

    Raises:
        InputError: If there is no such file.
    """
    for path in (Path(name), CONFIGS / name, CONFIGS.parent / name):
        if path.is_file():
            return path
    shipped = ", ".join(shipped_names(""))
    raise InputError(f"config: there is no file {name!r}, here or among the shipped ones ({shipped}).")


def shipped_names(folder: str) -> list[str]:
    """The shipped YAML files of a folder of `configs`, as `--config` takes them.

    Args:
        folder: Such as `method`.
    """
    return sorted(str(path.relative_to(CONFIGS)) for path in (CONFIGS / folder).rglob("*.yaml"))


def _files(command: CommandLine) -> list[Layer]:
    """All layers of files: those that are named, and those that they and the data set bring with them."""
    base, named = _read(CONFIGS / "base.yaml"), _named(command)
    given = {folder: [layer for layer in named if _folder(layer.path) == folder] for folder in FOLDERS}
    own = [layer for layer in named if _folder(layer.path) is None]
    source = compose([base, *given["data"], *own, command.layer()]).settings.get("data", {}).get("source")
    if not given["data"]:
        given["data"] = _shipped("data", source if isinstance(source, str) and find_dataset(source) else None)
    for layer in given["data"]:
        if not given["recommended"]:
            given["recommended"] = _shipped("recommended", layer.path.stem)
    method = "default"
    for place, layer in enumerate(given["recommended"]):
        settings = dict(layer.settings)
        method = settings.pop("method", method)
        given["recommended"][place] = FileLayer(layer.name, settings, layer.path)
    if not given["method"]:
        given["method"] = [_read(find_config(f"method/{method}.yaml"))]
    return [base, *(layer for folder in FOLDERS for layer in given[folder]), *own]


def _named(command: CommandLine) -> list[FileLayer]:
    """The files that the command line names, in layers, without base.yaml, which is there anyway."""
    layers = [_read(find_config(name)) for name in command.configs]
    for layer in layers:
        if _folder(layer.path) in _OF_OTHER_COMMANDS:
            folder = layer.path.parent.name
            raise InputError(f"config: {layer.path.name} in configs/{folder} is for lightning {folder}.")
    layers = [layer for layer in layers if layer.path.resolve() != CONFIGS / "base.yaml"]
    order = (*FOLDERS, None)
    return sorted(layers, key=lambda layer: order.index(_folder(layer.path)))


def _folder(path: Path) -> str | None:
    """The folder of `configs` that a file is in; None for a file of the user's."""
    folder = path.resolve().parent
    return folder.name if folder.parent == CONFIGS else None


def _shipped(folder: str, name: str | None) -> list[FileLayer]:
    path = CONFIGS / folder / f"{name}.yaml"
    return [_read(path)] if name is not None and path.is_file() else []


def _read(path: Path) -> FileLayer:
    resolved = path.resolve()
    name = str(resolved.relative_to(CONFIGS)) if resolved.is_relative_to(CONFIGS) else str(path)
    try:
        settings = get_loader("yaml")(path.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(f"config: {path} cannot be read as YAML ({' '.join(str(error).split())}).") from error
    if settings is None:
        settings = {}
    if not isinstance(settings, dict):
        raise InputError(f"config: {path} cannot be used; expected a mapping of settings in YAML.")
    return FileLayer(name, settings, path)


def _load(text: str) -> Any:
    """A value of YAML, as the parser of the options reads it; text that is no YAML stays text."""
    try:
        return get_loader("yaml")(text)
    except yaml.YAMLError:
        return text


def _nested(name: str, value: Any) -> dict[str, Any]:
    """A value under its dotted name."""
    for part in reversed(name.split(".")):
        value = {part: value}
    return dict(value)


def _get(settings: Mapping[str, Any], name: str) -> Any:
    """The value of a dotted name, or None."""
    value: Any = settings
    for part in name.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def _without(settings: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """Settings without those of some dotted names."""
    kept = dict(settings)
    for name in names:
        first, _, inner = name.partition(".")
        if first not in kept:
            continue
        if inner and isinstance(kept[first], Mapping):
            kept[first] = _without(kept[first], [inner])
        elif not inner:
            del kept[first]
    return kept
