"""An early check that a table has the columns in the settings, before slow imports."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, get_args

import yaml

from datamodules.datasets.dataset_catalog import find_dataset, find_source, local_file
from datamodules.feature_cache import default_cache_folder
from datamodules.tables.columns import ColumnNames, InputKind, choose_columns, option_of_column
from datamodules.tables.table_file import read_header
from workflows.settings.command_line import split_command_line
from workflows.settings.layers import read_command


def check_columns(arguments: Sequence[str]) -> None:
    """Check that the table of a `fit` command exists and has the columns in its settings.

    Invalid settings, arrays, tables that are not downloaded yet, and resumed runs are not checked here; the parser and
    the data module report the same errors later.

    Args:
        arguments: The command line after `fit`.

    Raises:
        InputError: If the table or a column is missing, or a settings file is invalid.
    """
    command = split_command_line(arguments)
    if command.value("ckpt_path") is not None:
        return
    data = dict(read_command(arguments).composition.settings.get("data", {}))
    options = [option_of_column(field.name) for field in fields(ColumnNames) if field.name != "smiles"]
    # YAML would read a column named 007 as a number.
    given = {name: command.value(f"data.{name}") for name in options}
    data |= {name: _names(value) for name, value in given.items() if value not in (None, "null")}
    path, kind = local_table(data), data.get("input", "molecule")
    if path is None or kind not in get_args(InputKind) or kind == "array" or path.suffix.lower() == ".npz":
        return
    names = ColumnNames.from_settings(data)
    named = [getattr(names, field.name) for field in fields(names)]
    texts = [text for value in named for text in (value if isinstance(value, list) else [value])]
    if not all(text is None or (isinstance(text, str) and "${" not in text) for text in texts):
        return
    header = read_header(path)
    choose_columns(header, path, kind, names, need_splits=data.get("split") == "file")


def _names(value: str) -> str | list[str]:
    """The name of a column, or of several in brackets."""
    if not (value.startswith("[") and value.endswith("]")):
        return value
    try:
        names = yaml.load(value, yaml.BaseLoader)
    except yaml.YAMLError:
        return value
    return names if isinstance(names, list) and all(isinstance(name, str) for name in names) else value


def local_table(data: dict[str, Any]) -> Path | None:
    """The file of a data source; None if it is not on this machine.

    Args:
        data: Settings of the data module.
    """
    source, folder = data.get("source"), data.get("cache_folder")
    if not isinstance(source, str) or "${" in source:
        return None
    cache, dataset = Path(folder) if isinstance(folder, str) else default_cache_folder(), find_dataset(source)
    return find_source(source, cache) if dataset is None else local_file(dataset, cache)
