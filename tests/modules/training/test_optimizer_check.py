"""Which learning-rate schedules are refused by their class."""

from __future__ import annotations

import functools
from typing import Any

import pytest
import torch
from lightning.pytorch.cli import ReduceLROnPlateau

from base.errors import InputError
from modules.training.optimizer_check import check_optimizer


@pytest.mark.parametrize(
    "schedule",
    [torch.optim.lr_scheduler.ReduceLROnPlateau, functools.partial(ReduceLROnPlateau, monitor="val/balanced_accuracy")],
)
def test_a_schedule_that_follows_a_metric_is_refused(schedule: Any) -> None:
    message = r"^model\.lr_scheduler: expected a schedule that depends on the epoch alone, .* got ReduceLROnPlateau\.$"
    with pytest.raises(InputError, match=message):
        check_optimizer(torch.optim.Adam, schedule)
