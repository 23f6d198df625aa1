"""Refuses a number of training steps after which there would be no checkpoint to keep."""

from __future__ import annotations

import math

import lightning

from base.errors import InputError


class EnoughSteps(lightning.Callback):
    """Checks that a run is validated before its last step, since the checkpoint of a validated epoch is kept."""

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Check as soon as the number of batches is known; a resumed run may have such a checkpoint already.

        Raises:
            InputError: If the steps are too few.
        """
        has_best = getattr(trainer.checkpoint_callback, "best_model_path", "") != ""
        if trainer.max_steps == -1 or trainer.fast_dev_run or has_best:  # type: ignore[attr-defined]
            return
        least = steps_to_validation(trainer)
        if least is not None and trainer.max_steps < least:
            raise InputError(
                f"trainer.max_steps: expected at least {least}, after which the model is first validated, since the "
                f"checkpoint of a validated epoch is kept, got {trainer.max_steps}."
            )


def steps_to_validation(trainer: lightning.Trainer) -> int | None:
    """Number of optimizer steps before the first validation of a run; None if it is due after some time.

    Args:
        trainer: A trainer that knows its batches.
    """
    batches, every, due = trainer.num_training_batches, trainer.check_val_every_n_epoch, trainer.val_check_batch
    if due is None:
        return None
    # Without `every`, the batches of all epochs are counted.
    epochs, rest = divmod(due if every is None else due + (every - 1) * batches, batches)
    accumulated = trainer.accumulate_grad_batches
    return int(epochs * math.ceil(batches / accumulated) + math.ceil(rest / accumulated))
