"""A progress line on the terminal for the entire training."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import lightning
from lightning.pytorch.callbacks import ProgressBar

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress


_SECONDS_BETWEEN_UPDATES = 1.0


class TrainingProgress(ProgressBar):
    """Shows epoch, loss, validation balanced accuracy and remaining time, on the first process."""

    def __init__(self, console: Console | None = None) -> None:
        """Create the callback.

        Args:
            console: Console to write to; standard error if None. Nothing is written unless it is a terminal.
        """
        super().__init__()
        self._console = console
        self._enabled = True
        self._progress: Progress | None = None
        self._shown_at = 0.0

    def disable(self) -> None:
        """Disable the line; Lightning calls this on every process but the first."""
        self._enabled = False

    def enable(self) -> None:
        """Enable the line."""
        self._enabled = True

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Start the line."""
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        console = self._console or Console(stderr=True)
        if not self._enabled or not console.is_terminal:
            return
        columns = TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[values]}")
        left = TimeRemainingColumn(), TextColumn("left")
        # The thread that would draw the line ten times a second takes its time from training.
        self._progress = Progress(*columns, *left, console=console, transient=True, auto_refresh=False)
        self._progress.start()
        self._progress.add_task(self._epoch(trainer), total=self._steps(trainer), values="")
        self._update(trainer)

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Update the line with the loss of this step."""
        # Reading the loss waits for the GPU, so it is not done at every step.
        if self._progress is not None and time.monotonic() - self._shown_at > _SECONDS_BETWEEN_UPDATES:
            self._update(trainer, float(outputs["loss"]))
            self._shown_at = time.monotonic()

    def on_train_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Remove the line."""
        self._stop()

    def on_exception(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, exception: BaseException
    ) -> None:
        """Remove the line before the error is printed."""
        self._stop()

    def _update(self, trainer: lightning.Trainer, loss: float | None = None) -> None:
        if self._progress is None:
            return
        accuracy = trainer.callback_metrics.get("val/balanced_accuracy")
        shown = {"loss": loss, "balanced accuracy": None if accuracy is None else float(accuracy)}
        values = "  ".join(f"{name} {value:.3f}" for name, value in shown.items() if value is not None)
        task = self._progress.task_ids[0]
        epoch = self._epoch(trainer)
        self._progress.update(task, completed=trainer.global_step, description=epoch, values=values, refresh=True)

    def _stop(self) -> None:
        if self._progress is not None:
            self._progress.stop()
            self._progress = None

    @staticmethod
    def _epoch(trainer: lightning.Trainer) -> str:
        last = trainer.max_epochs if trainer.max_epochs and trainer.max_epochs > 0 else "?"
        current = trainer.current_epoch + 1
        return f"epoch {current if last == '?' else min(current, last)}/{last}"

    @staticmethod
    def _steps(trainer: lightning.Trainer) -> float | None:
        total = trainer.estimated_stepping_batches
        return total if total != float("inf") else None
