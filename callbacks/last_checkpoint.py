"""A checkpoint to resume from when a run is stopped within an epoch."""

from __future__ import annotations

from typing import Any

import lightning
from lightning.pytorch.callbacks import ModelCheckpoint

from base.ranges import check_whole


def ends_step(trainer: lightning.Trainer, batch_index: int) -> bool:
    """Whether a step of the optimizer ended with a batch, and there are more batches in the epoch.

    Args:
        trainer: The trainer.
        batch_index: Batch within the epoch, counted from 0.
    """
    return not trainer.is_last_batch and (batch_index + 1) % trainer.accumulate_grad_batches == 0


class LastCheckpoint(ModelCheckpoint):
    """Writes `last.ckpt` every n training steps, except at the last step of an epoch.

    From a checkpoint of that step, Lightning would resume at the next epoch without validating this one. `lightning
    fit` writes `last.ckpt` at the end of each epoch with another callback. Nothing is written while gradients are
    accumulated over batches, since a checkpoint does not hold them.
    """

    def __init__(self, every_n_steps: int) -> None:
        """Create the callback.

        Args:
            every_n_steps: Training steps from one checkpoint to the next.

        Raises:
            ValueError: If `every_n_steps` is below 1.
        """
        check_whole("checkpoint_every_n_steps", every_n_steps, 1)
        super().__init__(filename="last", every_n_train_steps=every_n_steps, enable_version_counter=False)

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Write the checkpoint if it is due."""
        if ends_step(trainer, batch_idx):
            super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)
