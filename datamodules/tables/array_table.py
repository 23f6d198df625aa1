"""Read an .npz file of arrays and labels as a table."""

from __future__ import annotations

import math
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy
import polars
from numpy.typing import NDArray

from base.errors import InputError
from datamodules.sample_arrays import SampleArrays
from datamodules.tables.drug_table import Columns, DrugTable, InputKind, cell_texts

_DENSE = {"features": (2,), "images": (3, 4)}
_SPARSE = ("data", "indices", "indptr", "shape")
_SHAPES = {
    "features": "(samples, features)",
    "images": "(samples, height, width) or (samples, channels, height, width)",
}


def kind_of_file(path: Path, input: InputKind, trained: InputKind | None = None) -> InputKind:
    """What the samples of a file are: arrays in an .npz, else what the settings say.

    Args:
        path: The file.
        input: The setting; molecule, its default, does not contradict an .npz.
        trained: What a trained model reads, which goes before the setting.

    Raises:
        InputError: If the file and the settings, or the trained model, contradict each other.
    """
    arrays = path.suffix.lower() == ".npz"
    if trained is not None:
        if arrays != (trained == "array"):
            expected = "an .npz file of arrays" if trained == "array" else "a CSV, TSV or Parquet table"
            raise InputError(f"data.source: the model was trained on input {trained}; expected {expected}, got {path}.")
        return trained
    if arrays and input not in ("molecule", "array"):
        raise InputError(f"data.input: {path} holds arrays; expected array, or no setting, got {input}.")
    if not arrays and input == "array":
        raise InputError(f"data.source: input array is read from an .npz file; got {path}.")
    return "array" if arrays else input


def read_array_table(
    path: Path,
    label_key: str | None = None,
    id_key: str | None = None,
    split_key: str | None = None,
    need_labels: bool = True,
    need_splits: bool = False,
) -> DrugTable:
    """Read an .npz file as numpy.savez writes it.

    It holds `features` (N, D), or `images` (N, height, width) or (N, channels, height, width), or the `data`,
    `indices`, `indptr` and `shape` of a sparse CSR matrix (N, D), and beside them arrays (N,).

    Args:
        path: The file.
        label_key: Its classes, integers or text; `labels` if None.
        id_key: Names of the samples; `ids` if None.
        split_key: train, validation or test of each sample; `splits` if None.
        need_labels: False to predict, where a file without labels will do.
        need_splits: Whether the splits are read.

    Returns:
        A table whose `frame` has a column `row`, from 1, and the arrays (N,) that were found.

    Raises:
        InputError: If the file is none, an array is missing or of the wrong shape or type.
    """
    arrays = _load(path)
    samples, unusable = _samples(arrays, path)
    keys = {
        "label_column": (label_key or "labels", need_labels, label_key),
        "id_column": (id_key or "ids", False, id_key),
        "split_column": (split_key or "splits", need_splits, split_key),
    }
    columns = {"row": polars.Series("row", numpy.arange(1, len(samples) + 1))}
    for setting, (key, needed, named) in keys.items():
        if key in arrays:
            columns[key] = _column(arrays[key], key, len(samples), path)
        elif needed or named is not None:
            raise InputError(f"data.{setting}: there is no array {key!r} in {path}; it has {', '.join(arrays)}.")
    label, identifier, split = (key if key in columns else None for key, _, _ in keys.values())
    labels = cell_texts(columns[label], path) if label and need_labels else None
    reasons = polars.Series("reason", [None] * len(samples), dtype=polars.String)
    if labels is not None:
        reasons = reasons.set(labels.is_null(), f"missing label in array {label}")
    return DrugTable(
        frame=polars.DataFrame(list(columns.values())),
        columns=Columns((), label if need_labels else None, identifier, split if need_splits else None),
        smiles=(),
        labels=labels,
        splits=cell_texts(columns[split], path) if split and need_splits else None,
        reasons=reasons.set(polars.Series(unusable), "a feature that is not a finite number of 32 bits"),
        input="array",
        arrays=samples,
    )


def _load(path: Path) -> dict[str, NDArray[Any]]:
    try:
        with numpy.load(path, allow_pickle=False) as file:
            return dict(file)
    except (OSError, EOFError, ValueError, TypeError, zipfile.BadZipFile, zlib.error) as error:
        raise InputError(
            f"data.source: {path} cannot be read as an .npz of numbers and text ({error}); write it with numpy.savez."
        ) from error


def _samples(arrays: dict[str, NDArray[Any]], path: Path) -> tuple[SampleArrays, NDArray[Any]]:
    """The features, and (N,) bool, which samples have one that is not finite; these are left empty."""
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
    if arrays["data"].dtype.kind not in "biuf":
        raise InputError(f"data.source: data of {path} are of type {arrays['data'].dtype}; expected real numbers.")
    try:
        matrix = csr_matrix((_as_float(arrays["data"]), arrays["indices"], arrays["indptr"]), shape)
        matrix.check_format(full_check=True)
    except (ValueError, TypeError, IndexError) as error:
        raise InputError(f"data.source: the sparse matrix of {path} is not whole ({error}).") from error
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
