"""`lightning prepare`: download, check and featurise a table ahead of time."""

from __future__ import annotations

import logging
import tempfile
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, Trainer

from lightning_app.fit import FitCLI

_log = logging.getLogger("tailmol")


class PrepareCLI(FitCLI):
    """Takes the settings of training, so that the same files and options fit, and writes no run."""

    subcommand_name = "prepare"

    def before_instantiate_classes(self) -> None:
        """Nothing is written but the cache."""
        self.folder = Path(tempfile.gettempdir())

    def callbacks(self) -> list[Callback]:
        """None: nothing is trained."""
        return []

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """A trainer without loggers; it is never run."""
        return Trainer(logger=False, enable_checkpointing=False, accelerator="cpu", devices=1)


def main(arguments: list[str]) -> None:
    """Run the subcommand.

    Args:
        arguments: The command line after `prepare`.

    Raises:
        InputError: If the user's input is at fault.
    """
    cli = PrepareCLI(arguments)
    cli.datamodule.setup("fit")
    _log.info(f"Features are in {cli.datamodule.cache_folder}; lightning fit with the same settings starts at once.")
