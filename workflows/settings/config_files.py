"""Settings files in YAML: the shipped ones and the user's."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from jsonargparse import get_loader

from base.errors import InputError
from base.yaml_file import read_yaml
from workflows.settings.merge import Layer

CONFIGS = Path(__file__).resolve().parents[2] / "configs"

FOLDERS = ("data", "recommended", "encoder", "method", "multilabel")
"""Folders of `configs` whose files are layers of settings, the lowest layer first.

The files of `multilabel` take the place of those of `method` where a row may have several labels.
"""


@dataclass(frozen=True)
class FileLayer(Layer):
    """A layer of settings that was read from a file.

    Attributes:
        path: The file.
    """

    path: Path

    @property
    def folder(self) -> str | None:
        """The folder of `configs` that holds the file; None for a user's file."""
        folder = self.path.resolve().parent
        return folder.name if folder.parent == CONFIGS else None


def find_config(name: str) -> Path:
    """The path of a settings file; a file in the current folder takes precedence over a shipped one.

    Args:
        name: A path, or the name of a shipped file, such as `method/paper.yaml`.

    Raises:
        InputError: If there is no such file.
    """
    for path in (Path(name), CONFIGS / name, CONFIGS.parent / name):
        if path.is_file():
            return path
    raise InputError(
        f"config: expected an existing or shipped file, got {name!r}. Shipped files: {_shipped_like(name)}."
    )


def shipped_names(folder: str) -> list[str]:
    """The names of the shipped YAML files in a folder of `configs`, as `--config` takes them.

    Args:
        folder: Such as `method`.
    """
    return sorted(str(path.relative_to(CONFIGS)) for path in (CONFIGS / folder).rglob("*.yaml"))


def _shipped_like(name: str) -> str:
    """The shipped files in the folder that a name starts with, or else all of them by folder."""
    folder = Path(name).parent.name
    if folder and (CONFIGS / folder).is_dir():
        return ", ".join(shipped_names(folder))
    folders = sorted({Path(shipped).parent for shipped in shipped_names("")} - {Path()})
    return ", ".join([*sorted(path.name for path in CONFIGS.glob("*.yaml")), *(f"{path}/*.yaml" for path in folders)])


def shipped_layers(folder: str, name: str | None) -> list[FileLayer]:
    """The shipped file of a name as a layer; empty if there is none.

    Args:
        folder: A folder of `configs`.
        name: The file's name without its suffix; None gives no layer.
    """
    path = CONFIGS / folder / f"{name}.yaml"
    return [read_layer(path)] if name is not None and path.is_file() else []


def read_layer(path: Path) -> FileLayer:
    """Read a settings file.

    Args:
        path: A YAML file; an empty file has no settings.

    Raises:
        InputError: If the file cannot be read, or is not a mapping in YAML.
    """
    resolved = path.resolve()
    name = str(resolved.relative_to(CONFIGS)) if resolved.is_relative_to(CONFIGS) else str(path)
    settings = read_yaml(path, get_loader("yaml"))
    if settings is None:
        settings = {}
    if not isinstance(settings, dict):
        raise InputError(f"config: expected a mapping of settings in {path}, got {type(settings).__name__}.")
    return FileLayer(name, settings, path)
