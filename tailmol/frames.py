"""Samples in the forms that Python users have them in, as polars data frames."""

from __future__ import annotations

import math
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import polars

from base.errors import InputError
from datamodules.tables.columns import INPUTS, ColumnNames, InputKind
from datamodules.tables.smiles_cells import Agents, split_sample

if TYPE_CHECKING:
    import pandas

Frame: TypeAlias = "polars.DataFrame | pandas.DataFrame"
"""A polars or pandas data frame."""

Sample: TypeAlias = "str | tuple[str, str]"
"""A SMILES; or two of a pair or a reaction, or a SMILES and a sequence, as a tuple or joined by `>>`."""


def is_frame(value: object) -> bool:
    """Whether a value is a polars or pandas data frame; a single column is none, but a list of samples."""
    # Nobody has a frame of pandas before pandas is imported.
    pandas = sys.modules.get("pandas")
    return isinstance(value, polars.DataFrame) or (pandas is not None and isinstance(value, pandas.DataFrame))


def to_polars(frame: Frame) -> polars.DataFrame:
    """The frame in polars; missing values of pandas become null.

    A column of values that polars has no common type for, such as text among numbers, becomes text, as in the CSV that
    pandas writes of it.

    Args:
        frame: A polars or pandas data frame.

    Raises:
        InputError: If two columns have one name.
    """
    if isinstance(frame, polars.DataFrame):
        return frame
    names = [str(name) for name in frame.columns]
    twice = next((name for name, count in Counter(names).items() if count > 1), None)
    if twice is not None:
        raise InputError(f"samples: expected distinct column names, got {twice!r} twice.")
    # polars.from_pandas needs pyarrow for text.
    columns = [frame[name] for name in frame.columns]
    values = [column.astype(object).where(column.notna(), None).tolist() for column in columns]
    return polars.DataFrame([_column(name, own) for name, own in zip(names, values, strict=True)])


def _column(name: str, values: list[object]) -> polars.Series:
    if len({type(value) for value in values if value is not None}) < 2:
        try:
            column = polars.DataFrame({name: values}, infer_schema_length=None)[name]
        except TypeError:
            # Lists whose entries have several types, too, become text.
            column = None
        if column is not None and column.dtype != polars.Object:
            return column
    return polars.Series(name, [None if value is None else str(value) for value in values], dtype=polars.String)


def like_given(frame: polars.DataFrame, given: object) -> Any:
    """The frame in pandas if a pandas frame was given, else as it is.

    Args:
        frame: The result.
        given: What the user passed.
    """
    if isinstance(given, polars.DataFrame) or not is_frame(given):
        return frame
    import pandas

    return pandas.DataFrame(frame.to_dict(as_series=False), index=given.index)  # type: ignore[attr-defined]


def list_to_frame(
    samples: Sequence[Sample | None], input: InputKind, agents: Agents = "apart"
) -> tuple[polars.DataFrame, ColumnNames]:
    """A frame with a row for each sample, and the names of its columns.

    Args:
        samples: N samples; a missing one, or a missing part of one, becomes null.
        input: What one sample is.
        agents: What becomes of the agents of reactions that are one text.

    Raises:
        InputError: If a sample has another number of parts than the input has.
    """
    if input == "array":
        raise InputError("samples: expected the path of an .npz file for a model of input array, got a list.")
    names = INPUTS[input].names
    rows = [_parts(sample, input, agents) for sample in samples]
    columns = {name: [row[place] for row in rows] for place, name in enumerate(names)}
    frame = polars.DataFrame(columns, dict.fromkeys(names, polars.String))
    return frame, ColumnNames(INPUTS[input].smiles, sequence=INPUTS[input].sequence)


def write_rows(frame: polars.DataFrame, path: Path, input: InputKind) -> None:
    """Write samples to a Parquet file.

    Args:
        frame: The samples.
        path: The file.
        input: What one sample is.

    Raises:
        InputError: If there are no samples, or they are arrays.
    """
    if input == "array":
        raise InputError("samples: expected the path of an .npz file for a model of input array, got a data frame.")
    if frame.is_empty():
        raise InputError("samples: expected one or more, got none.")
    frame.write_parquet(path)


def existing_file(path: str | Path, input: InputKind) -> Path:
    """The path of a file with samples, which may be a sample by mistake.

    Args:
        path: What the user gave.
        input: What one sample is.

    Raises:
        InputError: If there is no such file.
    """
    if Path(path).is_file():
        return Path(path)
    others = "" if input == "array" else "a list of SMILES, a data frame or "
    raise InputError(f"samples: expected {others}the path of an existing file, got {path}.")


def _parts(sample: Sample | None, input: InputKind, agents: Agents) -> tuple[str | None, ...]:
    names = INPUTS[input].names
    if _is_missing(sample):
        return (None,) * len(names)
    parts = split_sample(sample, input, agents) if isinstance(sample, str) else sample
    if (
        not isinstance(parts, tuple | list)
        or len(parts) != len(names)
        or not all(isinstance(part, str) or _is_missing(part) for part in parts)
    ):
        raise InputError(f"samples: expected {' and '.join(names)} as text for input {input}, got {sample!r}.")
    return tuple(part if isinstance(part, str) else None for part in parts)


def _is_missing(value: object) -> bool:
    """Whether a value is None, or one that columns of pandas have in its place."""
    if isinstance(value, float):
        return math.isnan(value)
    return value is None or value is getattr(sys.modules.get("pandas"), "NA", None)
