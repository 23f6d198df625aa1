"""Download, check and featurize a table ahead of time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lightning.pytorch import Trainer

from workflows.fit import FitCLI
from workflows.terminal import quiet_lightning


class PrepareCLI(FitCLI):
    """Takes the settings of training, so that the same files and options fit, and writes no run."""

    subcommand_name = "prepare"
    description = "Download, check and featurize a table ahead of time, with the same settings as fit."

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """A trainer without loggers; it is never run."""
        return Trainer(logger=False, enable_checkpointing=False, accelerator="cpu", devices=1)


@quiet_lightning()
def prepare(options: Sequence[str], command: str = "lightning") -> Path:
    """Download, check and featurize a table.

    Args:
        options: As on the command line of `fit`.
        command: How the command was called, for messages.

    Returns:
        The folder that the features are in.

    Raises:
        InputError: If a setting, a file or the table cannot be used.
    """
    cli = PrepareCLI(list(options), command)
    cli.datamodule.setup("fit")
    return cli.datamodule.cache_folder
