"""`lightning report`: a page of what a run found."""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

from workflows.terminal import Terminal


def main(arguments: list[str], terminal: Terminal) -> None:
    """Run the subcommand.

    Args:
        arguments: The command line after `report`.
        terminal: How the command was called, and how much it says.

    Raises:
        InputError: If the run or its table cannot be read.
    """
    from reports.run_report import write_report

    given = make_parser(terminal.command).parse_args(arguments)
    start = time.monotonic()
    path = write_report(given.run, given.output, given.points, given.umap)
    print_written(path, time.monotonic() - start, terminal)


def make_parser(command: str = "lightning") -> argparse.ArgumentParser:
    """What the subcommand takes.

    Args:
        command: How the command was called.
    """
    from reports.report_data import POINTS

    parser = argparse.ArgumentParser(
        prog=f"{command} report", description="Write report.html, one page of what a run found, into the run's folder."
    )
    parser.add_argument("run", type=Path, metavar="RUN", help="folder of a run, or a checkpoint")
    parser.add_argument("--output", type=Path, metavar="FILE", help="where to write instead")
    parser.add_argument(
        "--points", type=int, default=POINTS, metavar="N", help=f"samples to draw on the embedding map ({POINTS:,})"
    )
    parser.add_argument("--umap", action="store_true", help="lay the embedding map out by UMAP too, which takes longer")
    return parser


def print_written(path: Path, seconds: float, terminal: Terminal) -> None:
    """Say where a page is, as JSON if the command line asked for it.

    Args:
        path: The page.
        seconds: What it took.
        terminal: How much is said.
    """
    size = path.stat().st_size
    if terminal.json:
        print(json.dumps({"report": str(path), "bytes": size, "seconds": round(seconds, 2)}))
    elif not terminal.quiet:
        print(f"{path} written: {size / 1e6:.1f} MB, {seconds:.0f} s.")
