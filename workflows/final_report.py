"""Writing the report and the model card at the end of a run."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lightning.pytorch.loggers import Logger

_log = logging.getLogger("tailmol")


def describe_run(
    folder: Path,
    report: bool,
    loggers: Sequence[Logger] = (),
    step: int = 0,
    trust: Sequence[str] = (),
    command: str = "lightning",
) -> Path | None:
    """Write the model card of a run and, if asked, its report.

    An error is logged as a warning, since the run is complete without them.

    Args:
        folder: Folder of the run.
        report: Whether to write the report.
        loggers: Loggers of the trainer; the figures of the report are logged to W&B, too.
        step: Global step of the trainer.
        trust: Modules with classes of the user that the checkpoint may name.
        command: Name of the command, for messages.

    Returns:
        The page; None if it was not asked for or could not be written.
    """
    from reports.card_file import write_model_card

    page = _report(folder, loggers, step, trust, command) if report else None
    try:
        write_model_card(folder)
    except Exception as error:
        _log.warning(f"The model card could not be written ({type(error).__name__}: {error}). The run is complete.")
        _log.debug("Traceback of the model card:", exc_info=True)
    return page


def _report(folder: Path, loggers: Sequence[Logger], step: int, trust: Sequence[str], command: str) -> Path | None:
    """Write the report and return the page, None if it failed."""
    from reports.report_file import write_report
    from reports.run_files import read_run

    try:
        path = write_report(read_run(folder), trust=trust, loggers=loggers, step=step, command=command)
    except Exception as error:
        _log.warning(
            f"The report could not be written ({type(error).__name__}: {error}). The run is complete; to try again: "
            f"{command} report {quote(str(folder))}"
        )
        _log.debug("Traceback of the report:", exc_info=True)
        return None
    _log.info(f"Report: {path}")
    return path
