"""The layers of settings of a command: shipped files, the user's files, and the options of the command line.

From the lowest to the highest: base.yaml, the files of `config_files.FOLDERS` in that order, the user's files, and the
options. Files of the same folder are applied in the order in which they are given.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from base.errors import InputError
from datamodules.datasets.dataset_catalog import find_dataset
from datamodules.tables.columns import INPUTS
from workflows.settings.command_line import CommandLine, split_command_line
from workflows.settings.config_files import (
    CONFIGS,
    FOLDERS,
    FileLayer,
    find_config,
    read_layer,
    shipped_layers,
)
from workflows.settings.merge import Composition, Layer, compose, without_replaced_classes

_OF_OTHER_SUBCOMMANDS = ("benchmark", "sweep")


@dataclass(frozen=True)
class CommandSettings:
    """The settings of a command.

    Attributes:
        files: The layers below the options, the lowest first.
        composition: All layers merged, with the origin of each value.
        under_options: The layers below the options merged, without the classes that an option replaces.
        words: The options, for a parser.
        ignored: Names of settings that the user changed and that keep the checkpoint's value.
    """

    files: tuple[Layer, ...]
    composition: Composition
    under_options: dict[str, Any]
    words: list[str]
    ignored: tuple[str, ...] = ()

    def is_saved(self, name: str) -> bool:
        """Whether a setting has the value of a checkpoint.

        Args:
            name: The setting, such as `data.label_column`.
        """
        origin = self.composition.origin(tuple(name.split(".")))
        return origin == "checkpoint" and split_command_line(self.words).value(name) is None


def read_command(
    arguments: Sequence[str], checkpoint: Layer | None = None, fixed: Sequence[str] = ()
) -> CommandSettings:
    """Find and merge the settings of a command; the order of its options does not matter.

    Args:
        arguments: The command line after the subcommand.
        checkpoint: The settings of a checkpoint, which replace base.yaml, the layers of a data set and the default
            method.
        fixed: Settings that keep the checkpoint's value, such as `model.optimizer`.

    Raises:
        InputError: If a file is missing, is not a mapping in YAML, or belongs to another subcommand.
    """
    command = split_command_line(arguments)
    files = _file_layers(command) if checkpoint is None else [checkpoint, *_named_layers(command)]
    ignored: tuple[str, ...] = ()
    if checkpoint is not None and fixed:
        wanted = compose([*files, command.layer()]).settings
        ignored = tuple(name for name in fixed if _get(wanted, name) != _get(checkpoint.settings, name))
        files = [checkpoint, *(Layer(layer.name, _without(layer.settings, fixed)) for layer in files[1:])]
        command = command.without(fixed)
    merged, under = compose([*files, command.layer()]), compose(files)
    return CommandSettings(
        tuple(files), merged, without_replaced_classes(under.settings, merged.settings), command.words(), ignored
    )


def settings_files(arguments: Sequence[str]) -> list[Path]:
    """The YAML files that a `fit` with this command line reads, the lowest layer first.

    Args:
        arguments: The command line after `fit`.

    Raises:
        InputError: If a file is missing, is not a mapping in YAML, or belongs to another subcommand.
    """
    return [layer.path for layer in read_command(arguments).files if isinstance(layer, FileLayer)]


def _file_layers(command: CommandLine) -> list[Layer]:
    """All file layers: those named on the command line, and those that they and the data set imply."""
    base, named = read_layer(CONFIGS / "base.yaml"), _named_layers(command)
    given = {folder: [layer for layer in named if layer.folder == folder] for folder in FOLDERS}
    own = [layer for layer in named if layer.folder is None]
    data = compose([base, *given["data"], *own, command.layer()]).settings.get("data", {})
    if not isinstance(data, dict):
        raise InputError(f"data: expected settings of its own such as --data.source FILE, got {data!r}.")
    source = data.get("source")
    if not given["data"]:
        given["data"] = shipped_layers("data", source if isinstance(source, str) and find_dataset(source) else None)
    # What is recommended for a data set, or else for the kind of its samples.
    data = compose([base, *given["data"], *own, command.layer()]).settings.get("data", {})
    kind, several = _kind_of_samples(data), data.get("labels") == "multi"
    if several and kind == "molecule":
        kind = "multilabel"
    for name in (*(layer.path.stem for layer in given["data"]), kind):
        if not given["recommended"]:
            given["recommended"] = shipped_layers("recommended", name)
    method = "default"
    for place, layer in enumerate(given["recommended"]):
        settings = dict(layer.settings)
        method = settings.pop("method", method)
        given["recommended"][place] = FileLayer(layer.name, settings, layer.path)
    folder, unused, labels = ("multilabel", "method", "multi") if several else ("method", "multilabel", "single")
    if given[unused]:
        raise InputError(
            f"config: expected a file of {folder}/ with data.labels {labels}, got {given[unused][0].name}."
        )
    if not given[folder]:
        given[folder] = [read_layer(find_config(f"{folder}/{'default' if several else method}.yaml"))]
    return [base, *(layer for folder in FOLDERS for layer in given[folder]), *own]


def _kind_of_samples(data: Mapping[str, Any]) -> str | None:
    is_array_file = str(data.get("source")).lower().endswith(".npz")
    kind = "array" if is_array_file else data.get("input", "molecule")
    return kind if isinstance(kind, str) and kind in INPUTS else None


def _named_layers(command: CommandLine) -> list[FileLayer]:
    """The files named on the command line, the lowest layer first, without base.yaml, which every command has."""
    layers = [read_layer(find_config(name)) for name in command.configs]
    for layer in layers:
        if layer.folder in _OF_OTHER_SUBCOMMANDS:
            raise InputError(
                f"config: expected settings of a run, got {layer.name}, which is for lightning {layer.folder}."
            )
    layers = [layer for layer in layers if layer.path.resolve() != CONFIGS / "base.yaml"]
    order = (*FOLDERS, None)
    return sorted(layers, key=lambda layer: order.index(layer.folder))


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
