"""A file of the costs of wrong predictions."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from base.errors import InputError


def read_costs(path: Path, names: Sequence[str]) -> Tensor:
    """Read a CSV file with the cost of each true class (row) predicted as each class (column).

    Args:
        path: The file, with the labels in the first row and in the first column, in any order.
        names: Names of the C classes.

    Returns:
        fp32 (C, C), in the order of the names.

    Raises:
        InputError: If the file cannot be read, has other classes, or a cost is no finite number.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            lines = [line for line in csv.reader(file) if line]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"costs: expected a CSV file in UTF-8, got {path} ({error}).") from error
    columns = lines[0][1:] if lines else []
    rows = {line[0]: line[1:] for line in lines[1:]}
    for place, found in (("first row", columns), ("first column", [line[0] for line in lines[1:]])):
        if sorted(found) != sorted(names):
            odd = sorted(set(found) ^ set(names)) or [name for name in found if found.count(name) > 1]
            expected = f"each of the {len(names)} classes once in the {place} of {path}"
            raise InputError(f"costs: expected {expected}, got others or too few, see {odd[0]!r}.")
    return torch.tensor([_numbers(rows[name], columns, names, f"row {name!r} of {path}") for name in names])


def _numbers(cells: list[str], columns: list[str], names: Sequence[str], place: str) -> list[float]:
    try:
        given = dict(zip(columns, (float(cell) for cell in cells), strict=True))
    except ValueError as error:
        raise InputError(f"costs: expected {len(columns)} numbers in {place}, got {','.join(cells)!r}.") from error
    if not all(math.isfinite(value) for value in given.values()):
        raise InputError(f"costs: expected finite numbers in {place}, got {','.join(cells)!r}.")
    return [given[name] for name in names]
