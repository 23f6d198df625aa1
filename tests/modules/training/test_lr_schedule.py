"""The schedule of a run that is resumed for more epochs."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.optim import SGD, AdamW, Optimizer
from torch.optim.lr_scheduler import (
    CosineAnnealingLR,
    CosineAnnealingWarmRestarts,
    ExponentialLR,
    LinearLR,
    LRScheduler,
    OneCycleLR,
    StepLR,
)

from modules.training.lr_schedule import SavedSchedule, climbs_back, read_schedule, replace_schedule

Make = Callable[[Optimizer], LRScheduler]


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (partial(CosineAnnealingLR, T_max=20), True),
        (partial(CosineAnnealingLR, T_max=40), False),
        # These end by themselves, or fall for ever.
        (partial(ExponentialLR, gamma=0.9), False),
        (partial(StepLR, step_size=5), False),
        # A warm-up that is longer than the first run.
        (partial(LinearLR, total_iters=30), False),
        # This one rose again within the first run already, as it should.
        (partial(CosineAnnealingWarmRestarts, T_0=8), False),
        (partial(CosineAnnealingWarmRestarts, T_0=20), True),
        # Raises an error after its last step.
        (partial(OneCycleLR, max_lr=0.1, total_steps=20), True),
        (partial(OneCycleLR, max_lr=0.1, total_steps=40), False),
        (None, False),
    ],
)
def test_a_schedule_of_twenty_epochs_is_used_for_forty(make: Make | None, expected: bool) -> None:
    assert climbs_back(partial(SGD, lr=0.1), make, 20, 40) is expected


def test_fewer_steps_never_climb() -> None:
    assert not climbs_back(partial(SGD, lr=0.1), partial(CosineAnnealingLR, T_max=40), 40, 20)


def checkpoint(epochs: int, steps: int) -> dict[str, Any]:
    """What a run of AdamW with a cosine of 20 epochs saves after some epochs, of two parameters with a state."""
    parameters = [torch.nn.Parameter(torch.ones(2)), torch.nn.Parameter(torch.ones(3))]
    optimizer = AdamW(parameters, lr=0.1, weight_decay=0.3)
    schedule = CosineAnnealingLR(optimizer, T_max=20)
    for _ in range(steps):
        sum(parameter.square().sum() for parameter in parameters).backward()  # type: ignore[union-attr]
        optimizer.step()
        schedule.step()
    progress = {"current": {"processed": epochs}}
    return {
        "loops": {"fit_loop": {"epoch_progress": progress}},
        "lr_schedulers": [schedule.state_dict()],
        "optimizer_states": [optimizer.state_dict()],
    }


@pytest.mark.parametrize("steps", [20, 5])
def test_the_new_schedule_has_the_rates_of_its_own_length_from_the_step_on(steps: int) -> None:
    content = checkpoint(20, steps)
    moments = content["optimizer_states"][0]["state"][1]["exp_avg"].clone()
    make: Make = partial(CosineAnnealingLR, T_max=40)
    replace_schedule(content, partial(AdamW, lr=0.1, weight_decay=0.3), make)
    parameters = [torch.nn.Parameter(torch.ones(2)), torch.nn.Parameter(torch.ones(3))]
    optimizer = AdamW(parameters, lr=7.0)
    schedule = make(optimizer)
    optimizer.load_state_dict(content["optimizer_states"][0])
    schedule.load_state_dict(content["lr_schedulers"][0])
    assert torch.equal(optimizer.state[parameters[1]]["exp_avg"], moments)
    assert optimizer.param_groups[0]["weight_decay"] == 0.3
    for step in range(steps, 40):
        assert optimizer.param_groups[0]["lr"] == pytest.approx(0.05 * (1 + math.cos(math.pi * step / 40)))
        optimizer.step()
        schedule.step()


def test_a_schedule_may_be_dropped_or_added() -> None:
    content = checkpoint(10, 10)
    replace_schedule(content, partial(AdamW, lr=0.1), None)
    assert content["lr_schedulers"] == []
    assert content["optimizer_states"][0]["param_groups"][0]["lr"] == 0.1
    replace_schedule(content, partial(AdamW, lr=0.1), partial(ExponentialLR, gamma=0.5))
    assert content["lr_schedulers"][0]["last_epoch"] == 10
    assert content["optimizer_states"][0]["param_groups"][0]["lr"] == pytest.approx(0.1 * 0.5**10)


def test_what_a_checkpoint_says_of_its_schedule(tmp_path: Path) -> None:
    torch.save(checkpoint(20, 5), tmp_path / "old.ckpt")
    assert read_schedule(tmp_path / "old.ckpt") == SavedSchedule(20, 5, {})
    torch.save({**checkpoint(20, 5), "lr_schedulers": [], "epoch_shares": {"T_max": 0.5}}, tmp_path / "new.ckpt")
    assert read_schedule(tmp_path / "new.ckpt") == SavedSchedule(20, 20, {"T_max": 0.5})
