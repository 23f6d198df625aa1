"""The columns, and the separator of labels, that are found become settings, so that a run says what it read."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from jsonargparse import Namespace

from datamodules.datasets.dataset_catalog import find_dataset
from datamodules.drug_task import DrugTask
from datamodules.tables.class_labels import MISSING_LABELS, LabelSettings
from datamodules.tables.columns import ColumnNames, Columns, InputKind, option_of_column
from datamodules.tables.label_sets import find_separator
from datamodules.tables.source_table import check_columns, kind_of_file, read_column, read_column_names
from workflows.settings.column_check import local_table

_log = logging.getLogger("tailmol")


def name_guessed_columns(
    data: Namespace, is_saved: Callable[[str], bool], trained: DrugTask | None, need_labels: bool
) -> None:
    """Write the columns that were found by their usual names into the settings, and log them.

    So is what separates the labels in a list, since a table that the model is tested on may tell another separator. A
    column of a checkpoint's settings that the table does not have is looked for by its usual names as well. A table
    that is not on this machine is left alone: the catalog names its columns, or the data module refuses it.

    Args:
        data: The settings of the data module.
        is_saved: Whether a setting, such as `data.label_column`, has the value of a checkpoint.
        trained: The task of a trained model; None without one.
        need_labels: Whether labels are read.

    Raises:
        InputError: If the table or a column is missing.
    """
    settings = data.as_dict()
    path = local_table(settings) if find_dataset(data.source) else Path(data.source)
    if path is None or not path.is_file():
        return
    kind = kind_of_file(path, data.input, None if trained is None else trained.input)
    available = read_column_names(path, kind)
    given = ColumnNames.from_settings(settings)
    lost = [
        name for name in _names(given) if is_saved(f"data.{option_of_column(name)}") and not given.has(name, available)
    ]
    names = replace(given, **dict.fromkeys(lost, None))
    columns = check_columns(path, kind, names, need_labels, data.split == "file")
    guessed = {
        option_of_column(name): _value(columns, name)
        for name in _names(names)
        if getattr(names, name) is None and getattr(columns, name)
    }
    for name in lost:
        data[option_of_column(name)] = None
    for option, value in guessed.items():
        data[option] = value
    if guessed:
        found = ", ".join(f"{option} {value!r}" for option, value in guessed.items())
        _log.info(f"Columns of {path.name} that were found by their usual names: {found}.")
    if need_labels and data.labels == "multi" and data.label_separator is None:
        data.label_separator = _separator(path, kind, columns.label, settings["missing_labels"])


def _separator(
    path: Path, kind: InputKind, label: str | tuple[str, ...] | None, missing: list[str] | str | None
) -> str | None:
    """What stands between the labels in a column of lists; None with a column for each label."""
    if isinstance(label, tuple) and len(label) == 1:
        (label,) = label
    if not isinstance(label, str):
        return None
    given = MISSING_LABELS if missing is None else (missing,) if isinstance(missing, str) else tuple(missing)
    where = f"{'array' if kind == 'array' else 'column'} {label}"
    return find_separator(read_column(path, kind, label), LabelSettings(given), where)


def _names(names: ColumnNames) -> list[str]:
    return [field.name for field in fields(names)]


def _value(columns: Columns, name: str) -> Any:
    value = getattr(columns, name)
    return list(value) if isinstance(value, tuple) else value
