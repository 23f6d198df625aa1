"""A check of the numbers of an optimizer and a learning-rate schedule before the model exists."""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Mapping
from typing import Any

import torch
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from torch import nn
from torch.optim.lr_scheduler import ReduceLROnPlateau

from base.errors import InputError


def check_optimizer(optimizer: OptimizerCallable, lr_scheduler: LRSchedulerCallable | None) -> None:
    """Check the numbers by creating both for two parameters, and by one step of the schedule.

    Args:
        optimizer: Creates the optimizer.
        lr_scheduler: Creates the learning-rate schedule; None for none.

    Raises:
        InputError: If a number is NaN or infinite, or torch refuses it, or the schedule follows a metric.
    """
    # Some optimizers treat matrices and vectors differently.
    parameters = [nn.Parameter(torch.zeros(2, 2)), nn.Parameter(torch.zeros(2))]
    try:
        made = optimizer(parameters)
    except ValueError as error:
        raise InputError(_reword(str(error))) from error
    _check_finite("model.optimizer", made.defaults)
    if lr_scheduler is None:
        return
    try:
        schedule = lr_scheduler(made)
        if isinstance(schedule, ReduceLROnPlateau):
            raise InputError(
                "model.lr_scheduler: expected a schedule that depends on the epoch alone, such as CosineAnnealingLR or "
                "ExponentialLR, got ReduceLROnPlateau."
            )
        _check_finite("model.lr_scheduler", vars(schedule))
        with warnings.catch_warnings():
            # The optimizer makes no step here, of which torch would warn.
            warnings.simplefilter("ignore", UserWarning)
            schedule.step()
    except (ValueError, ZeroDivisionError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"model.lr_scheduler: expected numbers that torch accepts, got others ({error}).") from error
    for group in made.param_groups:
        if not 0 <= float(group["lr"]) < math.inf:
            raise InputError(f"model.lr_scheduler: expected learning rates of 0 or more, got {float(group['lr'])}.")


def _check_finite(section: str, values: Mapping[str, Any]) -> None:
    for name, value in values.items():
        numbers = value if isinstance(value, list | tuple) else [value]
        if not all(math.isfinite(number) for number in numbers if isinstance(number, int | float)):
            raise InputError(f"{section}.{name}: expected a finite number, got {value}.")


def _reword(message: str) -> str:
    """Our sentence for torch's "Invalid learning rate: -1.0" or "Invalid beta parameter at index 0: 2.0"."""
    found = re.fullmatch(r"Invalid (learning rate|\w+)[^:]*: (.+?)\.?", message)
    if found is None:
        return f"model.optimizer: expected settings that torch accepts, got others ({message.rstrip('.')})."
    name = {"learning rate": "lr", "beta": "betas", "epsilon": "eps"}.get(found[1], found[1])
    return f"model.optimizer.{name}: expected a number that torch accepts, got {found[2]}."
