"""Checks of the numbers that Lightning's classes take, some of which they would accept in silence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from base.errors import InputError
from base.ranges import check_range, check_whole

# The smallest valid value of each setting of the trainer; -1 means no limit or all.
_SMALLEST = {
    "max_epochs": -1,
    "min_epochs": 0,
    "max_steps": -1,
    "min_steps": 0,
    "num_nodes": 1,
    "check_val_every_n_epoch": 1,
    "num_sanity_val_steps": -1,
    "log_every_n_steps": 0,
    "accumulate_grad_batches": 1,
    "reload_dataloaders_every_n_epochs": 0,
    "fast_dev_run": 0,
}
_SHARES = ("limit_train_batches", "limit_val_batches", "limit_test_batches", "limit_predict_batches", "overfit_batches")
# The others convert the tensors of a batch, which Lightning cannot do in a frozen data class.
_PRECISIONS = ("32-true", "32", "16-mixed", "16", "bf16-mixed", "bf16")


def check_trainer_numbers(settings: Mapping[str, Any]) -> None:
    """Check the numbers of Lightning's trainer.

    Args:
        settings: Arguments of the trainer.

    Raises:
        InputError: If a number is out of range.
    """
    for name, smallest in _SMALLEST.items():
        check_whole(f"trainer.{name}", settings[name], smallest, optional=True)
    for name in (*_SHARES, "val_check_interval"):
        value = settings[name]
        # A share if it is a fraction, else a number of batches, which the command line reads as 2.0.
        if isinstance(value, float) and not value.is_integer():
            check_range(f"trainer.{name}", value, 0, highest=1)
        elif isinstance(value, int | float):
            check_whole(f"trainer.{name}", int(value), 0)
    if settings["gradient_clip_val"] is not None:
        check_range("trainer.gradient_clip_val", settings["gradient_clip_val"], 0)
    for name in ("max_time", "val_check_interval"):
        # Durations such as {minutes: 15}; Lightning checks those that are a text.
        if isinstance(settings[name], Mapping):
            for value in settings[name].values():
                check_whole(f"trainer.{name}", value, 0)
    precision = settings["precision"]
    if precision is not None and str(precision) not in _PRECISIONS:
        raise InputError(f"trainer.precision: expected 32-true, bf16-mixed or 16-mixed, got {precision}.")
    devices = settings["devices"]
    if isinstance(devices, int) and devices != -1 and devices < 1:
        raise InputError(f"trainer.devices: expected 1 or more, or -1 for all, got {devices}.")


def check_early_stopping_numbers(settings: Mapping[str, Any]) -> None:
    """Check the numbers of Lightning's early stopping.

    Args:
        settings: Arguments of the callback.

    Raises:
        InputError: If a number is out of range.
    """
    check_whole("early_stopping.patience", settings["patience"], 0)
    check_range("early_stopping.min_delta", settings["min_delta"], 0)
    for name in ("stopping_threshold", "divergence_threshold"):
        if settings[name] is not None:
            check_range(f"early_stopping.{name}", settings[name], float("-inf"))
