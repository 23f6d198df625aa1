"""What a resumed run changes: its learning-rate schedule, and the results that it writes again."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, cast

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loops.loop import _Loop
from lightning.pytorch.trainer.states import TrainerFn

from base.errors import InputError
from modules.drug_classifier import DrugClassifier
from modules.evaluation.prediction_evidence import evidence_path
from modules.level_accuracy import LEVELS_FILE
from modules.run_layout import CARD, CHECKPOINTS, COMPARISON, FINAL, TEST_METRICS, TEST_PREDICTIONS
from modules.training.lr_schedule import EPOCH_SHARES, SavedSchedule, climbs_back, replace_schedule
from workflows.tracking import ContinuedCSVLogger

_log = logging.getLogger("tailmol")


_RESULTS = (TEST_METRICS, TEST_PREDICTIONS, LEVELS_FILE, "report.html", COMPARISON, CARD)


class Resuming(Callback):
    """Continues `metrics.csv` and, if its settings have changed, the learning-rate schedule; removes old results."""

    def __init__(self, epoch_shares: dict[str, float]) -> None:
        """Create the callback.

        Args:
            epoch_shares: Arguments of the schedule that are shares of `trainer.max_epochs`, for the next resumption.
        """
        self.has_new_schedule = self._epoch_has_ended = False
        self._epoch_shares = epoch_shares

    def check_schedule(
        self, model: DrugClassifier, settings: dict[str, Any], before: dict[str, Any], saved: SavedSchedule
    ) -> None:
        """Decide whether the schedule of a checkpoint is continued or replaced.

        Args:
            model: The model, with the settings of the resumed run.
            settings: Settings of the resumed run.
            before: Settings of the checkpoint.
            saved: Where the schedule of the checkpoint is.

        Raises:
            InputError: If the schedule is for fewer epochs and would raise the learning rate again.
        """
        total, last_total = (given["trainer"]["max_epochs"] for given in (settings, before))
        if settings["model"]["lr_scheduler"] != before["model"]["lr_scheduler"]:
            self.has_new_schedule = True
            _log.info(
                f"The learning rate continues at epoch {saved.epoch} with the new schedule, which is for "
                f"{total} epochs."
            )
        elif total and last_total and total > last_total:
            left, last_left = total - saved.epoch, last_total - saved.epoch
            steps, last_steps = saved.steps + left, saved.steps + last_left
            if climbs_back(model.make_optimizer, model.make_lr_scheduler, last_steps, steps):
                raise InputError(
                    f"model.lr_scheduler: expected a schedule for {total} epochs, got that of the checkpoint for "
                    f"{last_total}, after which its learning rate would rise again; give its length or another one."
                )

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Add the shares of the epochs."""
        checkpoint[EPOCH_SHARES] = self._epoch_shares

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Remove the metrics of later steps, and replace the schedule if there is a new one."""
        if trainer.state.fn != TrainerFn.FITTING:
            return
        self._epoch_has_ended = end_epoch(checkpoint["loops"]["fit_loop"]) if trainer.max_steps != -1 else False
        for logger in trainer.loggers:
            if isinstance(logger, ContinuedCSVLogger):
                logger.continue_from(int(checkpoint["global_step"]))
        if self.has_new_schedule:
            model = cast(DrugClassifier, pl_module)
            replace_schedule(checkpoint, model.make_optimizer, model.make_lr_scheduler)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Remove the results of an earlier best checkpoint, which would pass for those of a new one beside them."""
        if self._epoch_has_ended:
            # With a limit of steps, Lightning takes every run for one that was cut off within an epoch.
            _Loop.restarting.fset(trainer.fit_loop, False)  # type: ignore[attr-defined]
        if not trainer.is_global_zero:
            return
        folder = Path(trainer.default_root_dir)
        final = folder / CHECKPOINTS / FINAL
        if final.is_file():
            _log.info(f"{final} is removed, since it belongs to the best checkpoint of before.")
        for path in (*(folder / name for name in _RESULTS), evidence_path(final), final):
            path.unlink(missing_ok=True)


def end_epoch(loop: dict[str, Any]) -> bool:
    """Complete the epoch in the state of Lightning's loop, if all of its batches were processed.

    A state that was saved in the last hook of an epoch counts this epoch as processed and not as completed. With a
    limit of steps, Lightning would run the end of the epoch once more, without a step in it.

    Args:
        loop: State of the loop over the epochs, which is changed.

    Returns:
        Whether the epoch has ended.
    """
    epochs = loop["epoch_progress"]
    if len({epochs["current"][name] for name in ("ready", "started", "processed")}) > 1:
        return False
    for counts in epochs.values():
        counts["completed"] = counts["processed"]
    # The batches of the next epoch are drawn before its count of batches is set to 0.
    batches = loop["epoch_loop.batch_progress"]
    batches["current"] = dict.fromkeys(batches["current"], 0)
    return True
