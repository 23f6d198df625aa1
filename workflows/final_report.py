"""The report at the end of a run."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lightning.pytorch.loggers import Logger

_log = logging.getLogger("tailmol")


def report_run(folder: Path, loggers: Sequence[Logger] = (), step: int = 0) -> None:
    """Write the report of a run, which stands without it: what goes wrong is a warning, with its reason.

    Args:
        folder: The run's, with its checkpoints and test metrics.
        loggers: Of the trainer; W&B gets the same figures.
        step: Of the trainer.
    """
    from reports.report_data import collect
    from reports.run_report import report_figures, write_page
    from reports.wandb_panels import log_report_panels

    start = time.monotonic()
    try:
        data = collect(folder)
        path = write_page(data, start=start)
        log_report_panels(loggers, data, report_figures(data), step)
    except Exception as error:
        _log.warning(
            f"The report could not be written ({type(error).__name__}: {error}). The run itself is complete; try again "
            f"with: lightning report {folder}"
        )
        _log.debug("Where the report failed:", exc_info=True)
    else:
        _log.info(f"Report: {path}")
