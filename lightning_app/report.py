"""`lightning report`: write the report of a run."""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

from base.printable import printable
from workflows.settings.command_help import TRUST
from workflows.terminal import Terminal


def main(arguments: list[str], terminal: Terminal) -> None:
    """Run the subcommand.

    Args:
        arguments: The command line after `report`.
        terminal: Name and output options of the command.

    Raises:
        InputError: If the run or its table cannot be read.
    """
    from modules.run_layout import CARD, is_best
    from modules.saved_settings.known_classes import trusted_modules
    from reports.card_file import write_model_card
    from reports.report_file import write_report
    from reports.run_files import read_run

    given = make_parser(terminal.command).parse_args(arguments)
    start = time.monotonic()
    trust, run = trusted_modules(given.trust), read_run(given.run)
    path = write_report(run, given.output, given.points, given.umap, trust, command=terminal.command)
    if given.output is None and is_best(run.checkpoint, run.folder) and (run.folder / CARD).is_file():
        write_model_card(run.folder)
    print_written(path, time.monotonic() - start, terminal)


def make_parser(command: str = "lightning") -> argparse.ArgumentParser:
    """The parser of the subcommand.

    Args:
        command: Name of the command, for messages.
    """
    from reports.report_data import POINTS

    parser = argparse.ArgumentParser(
        prog=f"{command} report",
        description="Write the report of a run as an HTML page, by default report.html in its folder.",
    )
    parser.add_argument("run", type=Path, metavar="RUN", help="folder of a run, or a checkpoint")
    parser.add_argument(
        "--output", type=Path, metavar="FILE", help="HTML file to write (default: report.html in the run's folder)"
    )
    parser.add_argument(
        "--points",
        type=int,
        default=POINTS,
        metavar="N",
        help=f"number of samples on the embedding map (default: {POINTS:,}); runs with several labels have none",
    )
    parser.add_argument(
        "--umap", action="store_true", help="add a UMAP layout to the embedding map, which takes longer"
    )
    parser.add_argument("--trust", action="append", default=[], metavar="MODULE", help=TRUST["trust"].help)
    return parser


def print_written(path: Path, seconds: float, terminal: Terminal) -> None:
    """Print where a page was written.

    Args:
        path: The page.
        seconds: Duration of the work.
        terminal: Output options of the command.
    """
    size = path.stat().st_size
    if terminal.json:
        print(json.dumps({"report": str(path), "bytes": size, "seconds": round(seconds, 2)}))
    elif not terminal.quiet:
        print(printable(f"Written: {path} ({size / 1e6:.1f} MB, {seconds:.0f} s)"))
