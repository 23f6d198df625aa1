"""The folds of a table."""

from __future__ import annotations

from typing import Any

import numpy
from numpy.typing import NDArray

from base.errors import InputError
from datamodules.identity import SampleIdentity
from datamodules.splits.folds import Folds, cold_folds, random_folds, scaffold_folds
from datamodules.splits.label_splits import stratified_label_folds
from datamodules.splits.long_tail import thinned
from datamodules.splits.split_parts import parts_kept_apart
from datamodules.splits.split_settings import SplitSettings
from datamodules.splits.splitters import TEST, TRAIN, SplitName
from datamodules.tables.drug_table import DrugTable


def fold_rows(
    table: DrugTable, identity: SampleIdentity, rows: NDArray[Any], codes: NDArray[Any], split: SplitSettings
) -> tuple[dict[SplitName, NDArray[Any]], Folds]:
    """Divide rows into folds.

    Args:
        table: The table.
        identity: Which rows are the same sample.
        rows: (n,) rows of the table.
        codes: Class code of each row of the table, int64 (rows,); of several labels int8 (rows, C).
        split: How to divide.

    Returns:
        The rows of each split, with the tested ones as validation and test; and the folds of all rows of the table, -1
        where there is none.
    """
    if split.imbalance is not None:
        rows = thinned(rows, codes, split.imbalance, split.seed)
    folds = _make_folds(table, identity, rows, codes[rows], split)
    assert split.folds is not None
    filled = len(numpy.unique(folds.tested[folds.tested >= 0]))
    if filled < split.folds:
        raise InputError(
            f"folds: expected no more than {filled:,}, since others would have no row, got {split.folds:,}."
        )
    if split.fold is None:
        trained, tested = rows, rows[folds.tested >= 0]
    else:
        found = folds.codes(split.fold)
        trained, tested = rows[found == TRAIN], rows[found == TEST]
    of_table = Folds(*(_spread(values, rows, len(codes)) for values in (folds.tested, folds.touched)))
    return {"train": trained, "validation": tested, "test": tested}, of_table


def _spread(values: NDArray[Any], rows: NDArray[Any], size: int) -> NDArray[Any]:
    """The values of some rows of a table of this size, with -1 for the others."""
    found = numpy.full((size, *values.shape[1:]), -1, dtype=numpy.int64)
    found[rows] = values
    return found


def _make_folds(
    table: DrugTable, identity: SampleIdentity, rows: NDArray[Any], codes: NDArray[Any], split: SplitSettings
) -> Folds:
    assert split.folds is not None
    if split.method not in ("scaffold", "cold"):
        if codes.ndim == 2:
            return stratified_label_folds(codes, identity.samples[rows], split.folds, split.seed)
        return random_folds(codes, identity.samples[rows], split.folds, split.seed)
    parts, sides, either = parts_kept_apart(table, identity, rows, split)
    if split.method == "scaffold" and not identity.unordered:
        return scaffold_folds(parts[:, sides[0]], split.folds, split.seed)
    return cold_folds(parts, sides, split.folds, split.seed, either)
