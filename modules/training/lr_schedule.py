"""The learning-rate schedule of a run that is resumed for more or fewer epochs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from torch.optim.lr_scheduler import LRScheduler

from base.errors import InputError

EPOCH_SHARES = "epoch_shares"
"""Key of a checkpoint: arguments of the schedule that are shares of `trainer.max_epochs`, by name."""


@dataclass(frozen=True)
class SavedSchedule:
    """Where the schedule of a checkpoint is.

    Attributes:
        epoch: Number of epochs that were trained.
        steps: Number of steps of the schedule; fewer than epochs if a stage has restarted it.
        shares: Arguments of the schedule that are shares of `trainer.max_epochs`, by name.
    """

    epoch: int
    steps: int
    shares: dict[str, float]


def read_schedule(path: Path) -> SavedSchedule:
    """Read where the schedule of a checkpoint is.

    Args:
        path: Checkpoint written by `lightning fit`.

    Raises:
        InputError: If it holds a model without the state of its training, such as that of a refit or an ensemble.
    """
    content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    if "loops" not in content:
        raise InputError(f"ckpt_path: expected a checkpoint of a training to go on from, got {path}; use last.ckpt.")
    epoch = int(content["loops"]["fit_loop"]["epoch_progress"]["current"]["processed"])
    shares = {str(name): float(share) for name, share in content.get(EPOCH_SHARES, {}).items()}
    return SavedSchedule(epoch, _steps(content, epoch), shares)


def replace_schedule(
    checkpoint: dict[str, Any], make_optimizer: OptimizerCallable, make_schedule: LRSchedulerCallable | None
) -> None:
    """Replace the schedule in a checkpoint by another one, which continues at the same epoch.

    Args:
        checkpoint: Content of the checkpoint, which is changed.
        make_optimizer: Creates the optimizer of the checkpoint.
        make_schedule: Creates the new schedule; None for a constant rate.
    """
    epoch = int(checkpoint["loops"]["fit_loop"]["epoch_progress"]["current"]["processed"])
    optimizer, schedule = _advance(make_optimizer, make_schedule, _steps(checkpoint, epoch))
    checkpoint["lr_schedulers"] = [] if schedule is None else [schedule.state_dict()]
    rates = {name: value for name, value in optimizer.param_groups[0].items() if name != "params"}
    for state in checkpoint["optimizer_states"]:
        for group in state["param_groups"]:
            group.update(rates)


def climbs_back(
    make_optimizer: OptimizerCallable, make_schedule: LRSchedulerCallable | None, before: int, after: int
) -> bool:
    """Whether a schedule that was made for some steps raises the rate again if it is used for more.

    Args:
        make_optimizer: Creates the optimizer.
        make_schedule: Creates the schedule; None for a constant rate.
        before: Number of steps that the schedule was made for.
        after: Number of steps that it would be used for.

    Returns:
        False also if the rate rises again within the first steps, such as that of a cyclic schedule.
    """
    try:
        rates = _rates(make_optimizer, make_schedule, max(before, after))
    except ValueError:
        # A schedule such as OneCycleLR has an end.
        return True
    return _rises_again(rates[:after]) and not _rises_again(rates[:before])


def _rises_again(rates: Sequence[float]) -> bool:
    """Whether a rate is followed by a lower one and that by a higher one."""
    highest = accumulate(rates[:-1], max)
    steps = zip(highest, pairwise(rates), strict=True)
    return any(low < high and later > low * (1 + 1e-9) for high, (low, later) in steps)


def _rates(make_optimizer: OptimizerCallable, make_schedule: LRSchedulerCallable | None, steps: int) -> list[float]:
    optimizer, schedule = _advance(make_optimizer, make_schedule, 0)
    rates = [float(optimizer.param_groups[0]["lr"])]
    for _ in range(steps - 1):
        _step(optimizer, schedule)
        rates.append(float(optimizer.param_groups[0]["lr"]))
    return rates


def _advance(
    make_optimizer: OptimizerCallable, make_schedule: LRSchedulerCallable | None, steps: int
) -> tuple[torch.optim.Optimizer, LRScheduler | None]:
    """A schedule after some steps, with its optimizer, of a parameter that does not matter."""
    optimizer = make_optimizer([torch.nn.Parameter(torch.zeros(1))])
    schedule = None if make_schedule is None else make_schedule(optimizer)
    for _ in range(steps):
        _step(optimizer, schedule)
    return optimizer, schedule


def _step(optimizer: torch.optim.Optimizer, schedule: LRScheduler | None) -> None:
    if schedule is not None:
        # In this order, or torch warns.
        optimizer.step()
        schedule.step()


def _steps(content: dict[str, Any], epoch: int) -> int:
    return int(content["lr_schedulers"][0]["last_epoch"]) if content["lr_schedulers"] else epoch
