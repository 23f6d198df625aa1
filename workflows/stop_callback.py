"""Keeps Lightning from answering SIGTERM where the command does."""

from __future__ import annotations

import signal

from lightning.pytorch import Callback, LightningModule, Trainer

from workflows.stop_signals import leave_to_thread


class KeepStopSignals(Callback):
    """Puts the handler of `StopSignals` back in place of Lightning's.

    That one starts a collective operation on the process that received the signal, in the middle of those of the step,
    with which the other processes then mistake it. Outside of `StopSignals` the callback does nothing.
    """

    def __init__(self) -> None:
        """Create the callback."""
        self._is_active = False

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Find out whether `StopSignals` has the signal, before Lightning takes it."""
        self._is_active = signal.getsignal(signal.SIGTERM) is leave_to_thread

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Replace Lightning's handler; the trainer restores the one before it."""
        self._replace()

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """See `on_train_start`."""
        self._replace()

    def _replace(self) -> None:
        if self._is_active:
            signal.signal(signal.SIGTERM, leave_to_thread)
