"""Random seeds of training steps, which are the same in a resumed run."""

from __future__ import annotations

import os

import numpy
import torch

ALL_PROCESSES = 2**32 - 1
"""Number in place of the rank for draws that are the same on all processes; zero would be the first process."""


def run_seed() -> int:
    """Seed set by `seed_everything`; 0 if it was not called."""
    return int(os.environ.get("PL_GLOBAL_SEED", 0))


def step_seed(epoch: int, batch_index: int, process: int = ALL_PROCESSES) -> int:
    """Derive the random seed of a training step, so that a resumed run repeats the draws of an uninterrupted one.

    Args:
        epoch: Epoch, counted from 0.
        batch_index: Batch within the epoch, counted from 0.
        process: The rank of the process, for draws that are its own.

    Returns:
        A 32-bit seed.
    """
    return int(numpy.random.SeedSequence([run_seed(), epoch, batch_index, process]).generate_state(1)[0])


def seed_device(seed: int, device: torch.device) -> None:
    """Seed torch's global random state of the CPU and of one device, with the same draws as `torch.manual_seed`.

    `torch.manual_seed` also seeds every other accelerator that torch was built for, and keeps a stack trace for each
    that is not in use, which takes longer than everything else that precedes a step.

    Args:
        seed: Random seed, at least 0.
        device: Device of the step.
    """
    if device.type == "cpu":
        torch.default_generator.manual_seed(seed)
    elif device.type == "cuda":
        torch.default_generator.manual_seed(seed)
        with torch.cuda.device(device):
            torch.cuda.manual_seed(seed)
    else:
        torch.manual_seed(seed)
