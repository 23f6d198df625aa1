"""Starts training from the encoder of a trained model."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import cast

import lightning
from torch import Tensor

from base.errors import InputError
from datamodules.drug_datamodule import DrugDataModule
from datamodules.drug_task import DrugTask
from modules.drug_classifier import DrugClassifier

_log = logging.getLogger("tailmol")


class InitialEncoder(lightning.Callback):
    """Gives the encoder the weights of a trained model before the first step; projection and head stay new."""

    def __init__(self, source: Path, task: DrugTask, weights: Mapping[str, Tensor]) -> None:
        """Create the callback.

        Args:
            source: The checkpoint of the trained model, for messages.
            task: What the trained model knows of its data.
            weights: State of its encoder.
        """
        self._source, self._task, self._weights = source, task, weights

    def setup(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, stage: str) -> None:
        """Check that the encoder reads samples of the same kind and features.

        Raises:
            InputError: If a setting of the data differs.
        """
        if stage != "fit":
            return
        task = cast(DrugDataModule, trainer.datamodule).task  # type: ignore[attr-defined]
        known, given = _read_by_encoder(self._task), _read_by_encoder(task)
        for name, value in known.items():
            if given[name] != value:
                raise InputError(
                    f"init_from: expected data.{name} to be {value!r}, as in {self._source}, got {given[name]!r}."
                )

    def on_fit_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Load the weights."""
        cast(DrugClassifier, pl_module).network.encoder.load_state_dict(dict(self._weights))
        _log.info(f"The encoder starts from the weights in {self._source}; the head is new.")


def _read_by_encoder(task: DrugTask) -> dict[str, object]:
    return {"input": task.input, "ordered_pairs": task.ordered_pairs, **asdict(task.features)}
