"""The data of a run, read and divided as they were in training."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from reports.run_files import RunFiles

if TYPE_CHECKING:
    from datamodules.drug_datamodule import DrugDataModule

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


def has_changed(data: DrugDataModule, run: RunFiles) -> bool:
    """Whether the training samples differ from those that the model was trained on.

    Args:
        data: The data module, after `setup`, which forgets the task of the model.
        run: The files in the run's folder.
    """
    data.trained_task = None
    return data.task.training_digest != run.task.training_digest
