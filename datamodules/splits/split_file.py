"""Split columns that name only some of the splits, and test rows without a label, as benchmarks have them."""

from __future__ import annotations

import logging
from typing import Any

import numpy
import polars
from numpy.typing import NDArray

from base.errors import InputError
from datamodules.splits.label_splits import stratified_label_split
from datamodules.splits.split_settings import SplitSettings
from datamodules.splits.splitters import SPLIT_NAMES, TEST, TRAIN, VALIDATION, Codes, random_split
from datamodules.tables.class_labels import lacks_label
from datamodules.tables.drug_table import DrugTable

_log = logging.getLogger("tailmol")


def named_test(splits: polars.Series, split: SplitSettings) -> polars.Series:
    """Which rows a split column names as test rows.

    Args:
        splits: The cells of the column, null where one is empty.
        split: How the table is divided, with the folds of test if the column holds folds.
    """
    if split.test_folds is None and split.validation_folds is None:
        return (splits.str.to_lowercase() == SPLIT_NAMES[TEST]).fill_null(False)
    return splits.is_in(list(split.test_folds or ())).fill_null(False)


def without_unlabeled_tests(
    table: DrugTable, split: SplitSettings, reasons: polars.Series, tell: bool
) -> polars.Series:
    """The reasons of a table but for those of test rows without a label, which a benchmark keeps to itself.

    Args:
        table: A table with a split column.
        split: How the table is divided.
        reasons: Why a row cannot be used, null where it can.
        tell: Whether to log the number of these rows.
    """
    assert table.splits is not None
    unlabeled = named_test(table.splits, split) & lacks_label(reasons)
    if tell and unlabeled.any():
        _log.info(f"{unlabeled.sum():,} test rows have no label and are left out of the test.")
    return reasons.set(unlabeled, None)


def draw_missing_splits(given: Codes, values: NDArray[Any], samples: NDArray[Any], split: SplitSettings) -> Codes:
    """Draw the splits that no row is named for from the training rows, each with its share of them.

    Training rows whose sample is also in a split that rows are named for are not drawn, so that no drug is in two of
    validation and test.

    Args:
        given: The split of each row as its column names it.
        values: Class codes, int64 (n,); of several labels int8 (n, L).
        samples: (n,) int64, equal for rows of the same sample, which stay together.
        split: How the table is divided.

    Returns:
        The split of each row.

    Raises:
        InputError: If there are folds but no test rows.
    """
    missing = [place for place in (VALIDATION, TEST) if not (given == place).any()]
    if split.folds is not None:
        if TEST in missing:
            raise InputError(
                "data.split: expected test rows with labels in the split column with folds, got none; a table of the "
                "training rows alone, with --data.split random, is tested out of fold."
            )
        return given
    trained = given == TRAIN
    rows = numpy.flatnonzero(trained & ~numpy.isin(samples, samples[~trained]))
    if not missing or not len(rows):
        return given
    draw = stratified_label_split if values.ndim == 2 else random_split
    drawn = draw(values[rows], samples[rows], split.fractions, split.seed)
    completed = given.copy()
    for place in missing:
        own = rows[drawn == place]
        completed[own] = place
        name = SPLIT_NAMES[place]
        _log.info(
            f"No usable row is named for {name}, so {len(own):,} of {trained.sum():,} training rows are drawn for it."
        )
    return completed
