"""Downloading, checking and featurizing a table ahead of training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lightning.pytorch import Trainer

from workflows.fit_cli import FitCLI
from workflows.terminal import quiet_lightning


class PrepareCLI(FitCLI):
    """Settings of `lightning prepare`, which are those of `lightning fit`; no run is created."""

    subcommand_name = "prepare"
    description = "Download, check and featurize a table ahead of training, with the settings of lightning fit."
    common_settings: Mapping[str, Mapping[str, str]] = {"Data": FitCLI.common_settings["Data"]}

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """A trainer that is never run."""
        return Trainer(logger=False, enable_checkpointing=False, accelerator="cpu", devices=1)


@quiet_lightning()
def prepare(options: Sequence[str], command: str = "lightning") -> Path:
    """Download, check and featurize a table.

    Args:
        options: Options as on the command line of `lightning fit`.
        command: Name of the command, for messages.

    Returns:
        The cache folder with the features.

    Raises:
        InputError: If a setting, a file or the table is invalid.
    """
    cli = PrepareCLI(list(options), command)
    cli.datamodule.setup("fit")
    return cli.datamodule.cache_folder
