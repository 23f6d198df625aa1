"""Training, testing and reporting: one model, or an ensemble of models of several folds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from base.errors import is_disk_full
from workflows.fit_cli import FitCLI
from workflows.fit_folds import asked_folds, fit_folds
from workflows.fit_once import FitResult
from workflows.refit import train_and_refit
from workflows.run_folder import disk_full
from workflows.run_lock import unlocking_folders
from workflows.stop_signals import StopSignals
from workflows.terminal import leave_messages_to_first_process, quiet_lightning


@quiet_lightning()
@unlocking_folders()
def fit(
    options: Sequence[str] = (),
    configs: Sequence[str | Path] = (),
    command: str = "lightning",
    show_progress: bool = True,
    signals: StopSignals | None = None,
) -> FitResult:
    """Train a model, test its best checkpoint and write the report; train once more on all rows if asked to.

    Args:
        options: Options as on the command line, such as `["--data.source", "my_drugs.csv", "--trainer.max_epochs=5"]`.
        configs: YAML files of settings, your own or shipped ones such as `method/paper.yaml`; options take precedence.
        command: Name of the command, for messages.
        show_progress: Whether to show a progress line on the terminal.
        signals: Says how to go on when the run is stopped, and learns its folder here.

    Raises:
        DiskFullError: If no space is left; the last checkpoint is whole.
        InputError: If a setting, a file or the table is invalid.
    """
    words = [*(word for path in configs for word in ("--config", str(path))), *options]
    if asked_folds(words):
        return fit_folds(words, command, show_progress, signals)
    cli = FitCLI(words, command, show_progress)
    leave_messages_to_first_process(cli.trainer.is_global_zero)
    if signals is not None:
        signals.speaks = cli.trainer.is_global_zero
        signals.folder = cli.folder if signals.speaks else None
    try:
        return train_and_refit(cli, command, show_progress)
    except Exception as error:
        if not is_disk_full(error):
            raise
        raise disk_full(command, words, cli.folder) from error
