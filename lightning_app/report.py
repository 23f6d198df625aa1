"""`lightning report`: a page of what a run found."""

from __future__ import annotations

import argparse
import json
import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from workflows.terminal import terminal_mode

if TYPE_CHECKING:
    from lightning.pytorch.loggers import Logger

_log = logging.getLogger("tailmol")


def main(arguments: list[str]) -> None:
    """Run the subcommand.

    Args:
        arguments: The command line after `report`.

    Raises:
        InputError: If the run or its table cannot be read.
    """
    from reports.run_report import write_report

    given = make_parser().parse_args(arguments)
    start = time.monotonic()
    print_written(write_report(given.run, given.output, given.points, given.umap), time.monotonic() - start)


def make_parser() -> argparse.ArgumentParser:
    """What the subcommand takes."""
    from reports.report_data import POINTS

    parser = argparse.ArgumentParser(
        prog="lightning report", description="Write report.html, one page of what a run found, into the run's folder."
    )
    parser.add_argument("run", type=Path, metavar="RUN", help="folder of a run, or a checkpoint")
    parser.add_argument("--output", type=Path, metavar="FILE", help="where to write instead")
    parser.add_argument(
        "--points", type=int, default=POINTS, metavar="N", help=f"samples to draw on the embedding map ({POINTS:,})"
    )
    parser.add_argument("--umap", action="store_true", help="lay the embedding map out by UMAP too, which takes longer")
    return parser


def print_written(path: Path, seconds: float) -> None:
    """Say where a page is, as JSON if the command line asked for it.

    Args:
        path: The page.
        seconds: What it took.
    """
    size = path.stat().st_size
    if terminal_mode().json:
        print(json.dumps({"report": str(path), "bytes": size, "seconds": round(seconds, 2)}))
    elif not terminal_mode().quiet:
        print(f"{path} written: {size / 1e6:.1f} MB, {seconds:.0f} s.")


def report_run(folder: Path, loggers: Sequence[Logger] = (), step: int = 0) -> None:
    """Write the report at the end of a run, which stands without it: what goes wrong is a warning, with its reason.

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
        if terminal_mode().debug:
            raise
        _log.warning(
            f"The report could not be written ({type(error).__name__}: {error}). The run itself is whole; try again "
            f"with: lightning report {folder}"
        )
    else:
        _log.info(f"Report: {path}")
