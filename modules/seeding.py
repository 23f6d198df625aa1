"""Random seeds that do not depend on how a run came to a step."""

from __future__ import annotations

import os

import numpy


def run_seed() -> int:
    """The seed that `seed_everything` has set for this run; 0 if it was not called."""
    return int(os.environ.get("PL_GLOBAL_SEED", 0))


def step_seed(epoch: int, batch_index: int, *more: int) -> int:
    """Seed of a training step, so that a resumed run draws what the whole run would have drawn.

    Args:
        epoch: From 0.
        batch_index: From 0.
        *more: Numbers that tell this seed from others of the same step, such as the rank of the process.
    """
    return int(numpy.random.SeedSequence([run_seed(), epoch, batch_index, *more]).generate_state(1)[0])
