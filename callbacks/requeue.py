"""Saves a run and puts its job back into the queue when SLURM announces that it will end the job."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
from pathlib import Path
from types import FrameType
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Checkpoint

from callbacks.last_checkpoint import ends_step
from modules.processes import rank_and_world_size, sum_over_processes
from modules.run_layout import last_checkpoint

_log = logging.getLogger("tailmol")


class Requeue(Checkpoint):
    """Writes `last.ckpt` between two steps after SIGUSR1, and requeues the job, in which the run goes on.

    Lightning's handler of the signal, which this one replaces, saves at once: also in the middle of a step, and at
    different steps of different processes, which then wait for each other.
    """

    def __init__(self) -> None:
        """Create the callback, which does nothing unless Lightning handles the signal."""
        self._asked = self._is_active = False
        self._before: Any = None

    def setup(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, stage: str) -> None:
        """Remember the handler before that of Lightning."""
        self._before = signal.getsignal(signal.SIGUSR1)

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Replace Lightning's handler; the trainer restores the one before it."""
        self._is_active = signal.getsignal(signal.SIGUSR1) is not self._before
        if self._is_active:
            signal.signal(signal.SIGUSR1, self._ask)

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Save and requeue if asked, except where `LastCheckpoint` writes none."""
        if ends_step(trainer, batch_idx):
            self._requeue_if_asked(trainer, pl_module)

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Save and requeue if asked."""
        self._requeue_if_asked(trainer, pl_module)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self._asked = True

    def _any_is_asked(self, device: torch.device) -> bool:
        """Whether a process was asked; a process without others need not wait for its GPU to know."""
        if rank_and_world_size()[1] == 1:
            return self._asked
        return bool(sum_over_processes(torch.tensor(int(self._asked), device=device)))

    def _requeue_if_asked(self, trainer: lightning.Trainer, model: lightning.LightningModule) -> None:
        if not self._is_active or not self._any_is_asked(model.device):
            return
        # The signal may still be on its way to other processes.
        self._is_active = False
        trainer.save_checkpoint(last_checkpoint(Path(trainer.default_root_dir)))
        if trainer.is_global_zero:
            _requeue(_job())


def _job() -> str:
    if "SLURM_ARRAY_JOB_ID" in os.environ:
        return f"{os.environ['SLURM_ARRAY_JOB_ID']}_{os.environ['SLURM_ARRAY_TASK_ID']}"
    return os.environ["SLURM_JOB_ID"]


def _requeue(job: str) -> None:
    try:
        done = subprocess.run(["scontrol", "requeue", job], check=False, capture_output=True, text=True)
        error = done.stderr.strip() if done.returncode else None
    except FileNotFoundError as missing:
        error = str(missing)
    if error is None:
        _log.info(f"SLURM will end the job: the run was saved, and job {job} was put back into the queue.")
    else:
        _log.warning(f"SLURM will end the job: the run was saved, but job {job} could not be requeued ({error}).")
