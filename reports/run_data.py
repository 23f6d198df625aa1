"""The data of a run, read and divided as they were in training."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy
from numpy.typing import NDArray

from reports.run_files import RunFiles

if TYPE_CHECKING:
    from datamodules.drug_datamodule import DrugDataModule
    from datamodules.splits.divide import DrugRecords

_log = logging.getLogger("tailmol")


def set_up_data(run: RunFiles, fold: int | None = None, like: DrugDataModule | None = None) -> DrugDataModule:
    """The data module of a run, after `setup`.

    Args:
        run: The files in the run's folder.
        fold: The fold to leave out; that of the settings if None.
        like: A data module of the run, whose table is used; None reads the table.

    Raises:
        InputError: If the table cannot be read.
    """
    from datamodules.drug_datamodule import DrugDataModule
    from modules.saved_settings.checkpoint_check import CheckpointCheck

    settings = run.settings if fold is None else {**run.settings, "data": {**run.settings["data"], "fold": fold}}
    # A report draws no batches for training, and folders are the user's choice.
    unused = ("sampling", "num_workers", "cache_folder")
    data = CheckpointCheck(run.checkpoint, "RUN").make(settings, "data", DrugDataModule, unused)
    data.trained_task = run.task
    if like is not None:
        data.share_table(like)
    level = _log.level
    # Fitting has already logged these messages.
    _log.setLevel(logging.ERROR)
    try:
        data.prepare_data()
        data.setup("test")
    finally:
        _log.setLevel(level)
    return data


def part_sizes(records: DrugRecords) -> dict[str, tuple[int, int]]:
    """Numbers of rows and of different samples in the parts of a table that share no row.

    These are the splits, of which those with the same rows are one part; and of an ensemble, its folds and the test
    rows outside of them.

    Args:
        records: The divided table.

    Returns:
        Sizes by the name of the part: that of the split, several joined by "and", or the number of folds.
    """
    parts: list[tuple[str, NDArray[Any]]] = []
    if records.folds is not None and numpy.isin(records.rows["validation"], records.rows["train"]).all():
        # Rows that no fold tests, those of the smallest classes, train all members.
        trained = records.rows["train"]
        tested = numpy.setdiff1d(records.rows["test"], trained)
        parts = [(f"{records.folds.max() + 1} folds", trained), *([("test", tested)] if len(tested) else [])]
    else:
        for split, rows in records.rows.items():
            place = next((at for at, (_, own) in enumerate(parts) if len(own) and numpy.array_equal(own, rows)), None)
            if place is None:
                parts.append((split, rows))
            else:
                parts[place] = (f"{parts[place][0]} and {split}", rows)
    return {name: (len(rows), records.different_samples(rows)) for name, rows in parts}


def sizes_text(sizes: Mapping[str, tuple[int, int]], is_ensemble: bool) -> str:
    """The sizes of the parts of a table, and what folds are for, in words.

    Args:
        sizes: From `part_sizes`.
        is_ensemble: Whether there is a member for each fold.
    """
    text = ", ".join(
        f"{name} {rows:,}" if rows == samples else f"{name} {rows:,} rows of {samples:,} different samples"
        for name, (rows, samples) in sizes.items()
    )
    if not is_ensemble:
        return text
    return f"{text}; each fold {'validates' if 'test' in sizes else 'tests'} the member that was not trained on it"


def table_size(records: DrugRecords) -> tuple[int, int]:
    """Numbers of rows and of different samples in all splits together.

    Args:
        records: The divided table.
    """
    rows = numpy.unique(numpy.concatenate(list(records.rows.values())))
    return len(rows), records.different_samples(rows)


def has_changed(data: DrugDataModule, run: RunFiles) -> bool:
    """Whether the training samples differ from those that the model was trained on.

    Args:
        data: The data module, after `setup`, which forgets the task of the model.
        run: The files in the run's folder.
    """
    data.trained_task = None
    return data.task.training_digest != run.task.training_digest
