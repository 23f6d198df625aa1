"""Checks that a training ends, and that a checkpoint is left when it does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from base.errors import InputError


def check_training_length(trainer: Mapping[str, Any], leaves_out_fold: bool, refit: bool) -> None:
    """Refuse a training that would not end, or whose result would be lost at its end.

    The best checkpoint is saved when an epoch is validated. A model that is tested on a fold is validated after the
    last epoch of `trainer.max_epochs` alone, since the fold must not choose the epoch.

    Args:
        trainer: Arguments of Lightning's trainer.
        leaves_out_fold: Whether models of folds are trained.
        refit: Whether a model is trained once more on all rows.

    Raises:
        InputError: If the training is one of these.
    """
    epochs, every = trainer["max_epochs"], trainer["check_val_every_n_epoch"]
    is_endless = epochs == -1 and trainer["max_steps"] == -1 and trainer["max_time"] is None
    if refit and is_endless:
        raise InputError(
            "refit: expected false with trainer.max_epochs -1, since no rows are left to stop it early, got true."
        )
    if trainer["limit_val_batches"] == 0:
        raise InputError(
            "trainer.limit_val_batches: expected more than 0, since the checkpoint of a validated epoch is kept, got 0."
        )
    if leaves_out_fold:
        _check_all_epochs(trainer)
    elif epochs is not None and every is not None and 0 < epochs < every:
        raise InputError(
            f"trainer.check_val_every_n_epoch: expected at most {epochs}, which is trainer.max_epochs, since the "
            f"checkpoint of a validated epoch is kept, got {every}."
        )


def _check_all_epochs(trainer: Mapping[str, Any]) -> None:
    for name, unlimited, shown in (("max_steps", -1, "-1"), ("max_time", None, "null")):
        if trainer[name] != unlimited:
            raise InputError(
                f"trainer.{name}: expected {shown} with folds, whose models are saved after the last epoch, got "
                f"{trainer[name]}."
            )
    epochs = trainer["max_epochs"]
    if epochs is None or epochs < 1:
        raise InputError(
            "trainer.max_epochs: expected 1 or more with folds, since no rows are left to stop their models early, got "
            f"{'null' if epochs is None else epochs}."
        )
