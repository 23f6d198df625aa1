"""Read an `.npz` file of arrays and labels as a table."""

from __future__ import annotations

import math
import zipfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy
import polars
from numpy.typing import NDArray

from base.errors import InputError
from datamodules.tables.class_labels import LabelSettings, split_texts
from datamodules.tables.columns import USUAL_NAMES, ColumnNames, Columns
from datamodules.tables.drug_table import DrugTable, cell_texts, read_label_columns
from datamodules.tables.npz_headers import check_npz_headers
from datamodules.tables.sample_arrays import SampleArrays

T = TypeVar("T")

_DENSE = {"features": (2,), "images": (3, 4)}
_MOST_FEATURES = 10_000_000
_SPARSE = ("data", "indices", "indptr", "shape")
_SHAPES = {
    "features": "(samples, features)",
    "images": "(samples, height, width) or (samples, channels, height, width)",
}


def read_array_table(
    path: Path,
    names: ColumnNames = USUAL_NAMES,
    need_labels: bool = True,
    need_splits: bool = False,
    label_settings: LabelSettings = LabelSettings(),  # noqa: B008
) -> DrugTable:
    """Read an `.npz` file as numpy.savez writes it.

    It holds `features` (N, D), or `images` (N, height, width) or (N, channels, height, width), or the `data`,
    `indices`, `indptr` and `shape` of a sparse CSR matrix (N, D), and beside them arrays (N,).

    Args:
        path: The file.
        names: Names of the arrays of labels (default `labels`), ids (`ids`) and splits (`splits`).
        need_labels: Whether the labels are read.
        need_splits: Whether the splits are read.
        label_settings: How labels are read.

    Returns:
        A table whose `frame` has a column `row`, from 1, and the arrays (N,) that were found.

    Raises:
        InputError: If the file is not an `.npz`, or an array is missing or has the wrong shape or type.
    """
    arrays = _load(path)
    samples, unusable = _samples(arrays, path)
    found = choose_arrays(list(arrays), path, names, need_labels, need_splits)
    given = found.label or names.label or "labels"
    several = [given] if isinstance(given, str) else [*given]
    listed = (*several, names.id or "ids", names.split or "splits")
    columns = {key: _column(arrays[key], key, len(samples), path) for key in listed if key in arrays}
    labels, label_sets = None, None
    splits = split_texts(cell_texts(columns[found.split], path)) if found.split else None
    reasons = polars.Series("reason", [None] * len(samples), dtype=polars.String)
    if found.label:
        frame = polars.DataFrame(list(columns.values()))
        labels, label_sets, reasons = read_label_columns(frame, found.label, path, label_settings, "array")
    if splits is not None:
        reasons = reasons.set(splits.is_null() & reasons.is_null(), f"missing split in array {found.split}")
    numbers = {"row": polars.Series("row", numpy.arange(1, len(samples) + 1))}
    return DrugTable(
        frame=polars.DataFrame(list((numbers | columns).values())),
        columns=found,
        smiles=(),
        labels=labels,
        splits=splits,
        reasons=reasons.set(polars.Series(unusable), "a feature that is not a finite number of 32 bits"),
        input="array",
        arrays=samples,
        label_sets=label_sets,
    )


def choose_arrays(
    available: Sequence[str],
    path: Path,
    names: ColumnNames = USUAL_NAMES,
    need_labels: bool = True,
    need_splits: bool = False,
) -> Columns:
    """Find the arrays of labels, ids and splits.

    Args:
        available: Arrays of the file.
        path: The file, for messages.
        names: Names from the settings.
        need_labels: Whether the labels are read.
        need_splits: Whether the splits are read.

    Raises:
        InputError: If an array is missing.
    """

    def find(setting: str, given: str | None, usual: str, needed: bool) -> str | None:
        key = given or usual
        if key in available:
            return key
        if needed or given is not None:
            raise InputError(f"data.{setting}: expected an array of {path} ({', '.join(available)}), got {key!r}.")
        return None

    label: str | tuple[str, ...] | None = None
    if need_labels and (names.label is None or isinstance(names.label, str)):
        label = find("label_column", names.label, "labels", True)
    elif need_labels:
        assert names.label is not None
        label = tuple(str(find("label_column", name, name, True)) for name in names.label)
    return Columns(
        smiles=(),
        label=label,
        id=find("id_column", names.id, "ids", False),
        split=find("split_column", names.split, "splits", True) if need_splits else None,
    )


def read_array_names(path: Path) -> list[str]:
    """Names of the arrays of an `.npz` file.

    Raises:
        InputError: If the file is not an `.npz`.
    """
    return _read(path, lambda file: list(file.files))


def read_array(path: Path, key: str) -> polars.Series:
    """An array with one entry for each sample.

    Args:
        path: The file.
        key: The array, which the file has.

    Raises:
        InputError: If the file is not an `.npz`, or the array has another shape or type.
    """
    values = _read(path, lambda file: file[key])
    return _column(values, key, values.size, path)


def _load(path: Path) -> dict[str, NDArray[Any]]:
    return _read(path, lambda file: dict(file))


def _read(path: Path, use: Callable[[Any], T]) -> T:
    try:
        # Opened here, since numpy leaves a file open that it cannot read.
        with path.open("rb") as opened:
            check_npz_headers(opened)
            with numpy.load(opened, allow_pickle=False) as file:
                return use(file)
    except (OSError, EOFError, ValueError, TypeError, NotImplementedError, zipfile.BadZipFile, zlib.error) as error:
        raise InputError(
            f"data.source: {path} cannot be read as an .npz of numbers and text ({error}); write it with numpy.savez."
        ) from error


def _samples(arrays: dict[str, NDArray[Any]], path: Path) -> tuple[SampleArrays, NDArray[Any]]:
    """The samples, and (N,) bool, which of them have a feature that is not finite; these are left empty."""
    from scipy.sparse import csr_matrix

    given = [key for key in (*_DENSE, "indptr") if key in arrays]
    if len(given) != 1:
        raise InputError(
            f"data.source: expected one of features, images, or the data, indices, indptr and shape of a sparse "
            f"matrix in {path}; it has {', '.join(arrays) or 'nothing'}."
        )
    if given[0] == "indptr":
        matrix, shape = _sparse_matrix(arrays, path)
    else:
        dense = arrays[given[0]]
        _check_dense(dense, given[0], path)
        shape = dense.shape[1:]
        _check_width(math.prod(shape), path)
        matrix = csr_matrix(_as_float(dense.reshape(len(dense), -1)))
    matrix.eliminate_zeros()
    row_of_value = numpy.repeat(numpy.arange(matrix.shape[0]), numpy.diff(matrix.indptr))
    unusable = numpy.bincount(row_of_value, ~numpy.isfinite(matrix.data), minlength=matrix.shape[0]) > 0
    kept = ~unusable[row_of_value]
    starts = numpy.concatenate([[0], numpy.cumsum(numpy.where(unusable, 0, numpy.diff(matrix.indptr)))])
    bins = matrix.indices[kept].astype(numpy.uint16 if math.prod(shape) <= 65_536 else numpy.int32)
    return SampleArrays(tuple(map(int, shape)), starts.astype(numpy.int64), bins, matrix.data[kept]), unusable


def _check_dense(dense: NDArray[Any], key: str, path: Path) -> None:
    if dense.dtype.kind not in "biuf":
        raise InputError(f"data.source: {key} of {path} are of type {dense.dtype}; expected real numbers.")
    if dense.ndim not in _DENSE[key] or 0 in dense.shape:
        raise InputError(f"data.source: {key} of {path} have shape {dense.shape}; expected {_SHAPES[key]}, none empty.")


def _check_width(features: int, path: Path) -> None:
    # Batches hold every feature, zeros included.
    if features > _MOST_FEATURES:
        raise InputError(f"data.source: expected at most {_MOST_FEATURES} features in {path}, got {features}.")


def _sparse_matrix(arrays: dict[str, NDArray[Any]], path: Path) -> tuple[Any, tuple[int, ...]]:
    """A CSR matrix of float32 and the shape of one of its rows."""
    from scipy.sparse import csr_matrix

    missing = [key for key in _SPARSE if key not in arrays]
    if missing:
        raise InputError(f"data.source: the sparse matrix of {path} lacks {', '.join(missing)}.")
    kind = "".join(arrays.get("format", numpy.array("csr")).astype(str).reshape(-1))
    shape = tuple(arrays["shape"].reshape(-1).tolist())
    if kind != "csr" or len(shape) != 2 or not all(isinstance(size, int) and size > 0 for size in shape):
        raise InputError(
            f"data.source: the sparse matrix of {path} has format {kind} and shape {shape}; expected csr "
            "(matrix.tocsr()) and (samples, features), none empty."
        )
    _check_width(shape[1], path)
    if arrays["data"].dtype.kind not in "biuf":
        raise InputError(f"data.source: data of {path} are of type {arrays['data'].dtype}; expected real numbers.")
    try:
        matrix = csr_matrix((_as_float(arrays["data"]), arrays["indices"], arrays["indptr"]), shape)
        matrix.check_format(full_check=True)
    except (ValueError, TypeError, IndexError) as error:
        raise InputError(f"data.source: the sparse matrix of {path} is not valid ({error}).") from error
    matrix.sum_duplicates()
    return matrix, shape[1:]


def _as_float(values: NDArray[Any]) -> NDArray[Any]:
    # What 32 bits cannot hold becomes infinite, and its row is rejected.
    with numpy.errstate(over="ignore"):
        return values.astype(numpy.float32)


def _column(values: NDArray[Any], key: str, rows: int, path: Path) -> polars.Series:
    if values.shape != (rows,):
        raise InputError(
            f"data.source: {key} of {path} have shape {values.shape}; expected ({rows},), one for each sample."
        )
    if values.dtype.kind not in "biufU":
        raise InputError(f"data.source: {key} of {path} are of type {values.dtype}; expected integers or text.")
    return polars.Series(key, values.tolist() if values.dtype.kind == "U" else values)
