"""Random seeds of training steps, which are the same in a resumed run."""

from __future__ import annotations

import os

import numpy


def run_seed() -> int:
    """Seed set by `seed_everything`; 0 if it was not called."""
    return int(os.environ.get("PL_GLOBAL_SEED", 0))


def step_seed(epoch: int, batch_index: int, *more: int) -> int:
    """Derive the random seed of a training step, so that a resumed run repeats the draws of an uninterrupted one.

    Args:
        epoch: Epoch, counted from 0.
        batch_index: Batch within the epoch, counted from 0.
        *more: Further numbers that distinguish seeds of the same step, such as the rank of the process.

    Returns:
        A 32-bit seed.
    """
    return int(numpy.random.SeedSequence([run_seed(), epoch, batch_index, *more]).generate_state(1)[0])
