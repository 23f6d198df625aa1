"""A training run as a search needs it: its settings alone, or the run with callbacks of the search."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lightning.pytorch import Callback

from workflows.fit_cli import FitCLI
from workflows.run_lock import unlock_folder
from workflows.wandb_run import finish


class SettingsCheck(FitCLI):
    """Parses the arguments of `lightning fit` without creating anything."""

    def before_instantiate_classes(self) -> None:
        """Create no run folder."""

    def instantiate_classes(self) -> None:
        """Create no objects."""

    def after_instantiate_classes(self) -> None:
        """Leave the settings as parsed."""


class FitTrial(FitCLI):
    """The training run of a trial, with callbacks that are not part of its settings."""

    def __init__(self, arguments: list[str], watching: list[Callback]) -> None:
        """Parse the arguments and create the run.

        Args:
            arguments: Arguments of `lightning fit`.
            watching: Callbacks in addition to those of training.
        """
        self._watching = watching
        super().__init__(arguments)

    def callbacks(self) -> list[Callback]:
        """The callbacks of training, then those of the search."""
        return [*super().callbacks(), *self._watching]

    @property
    def resolved_settings(self) -> dict[str, Any]:
        """The settings of the run."""
        assert self.model.run_config is not None
        return self.model.run_config

    def fit(self) -> Mapping[str, Any]:
        """Train, and return the metrics that were logged last."""
        try:
            self.trainer.fit(self.model, datamodule=self.datamodule, weights_only=True)
        finally:
            # The next trial would otherwise log to the same W&B run.
            finish(self.trainer.loggers)
            unlock_folder(self.folder)
        return self.trainer.callback_metrics
