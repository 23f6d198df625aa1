"""`lightning compare`: write a page that compares runs."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from lightning_app.report import print_written
from workflows.terminal import Terminal


def main(arguments: list[str], terminal: Terminal) -> None:
    """Run the subcommand.

    Args:
        arguments: The command line after `compare`.
        terminal: Name and output options of the command.

    Raises:
        InputError: If a run cannot be read, or the runs have different classes or labels.
    """
    from reports.run_comparison import write_comparison

    given = make_parser(terminal.command).parse_args(arguments)
    start = time.monotonic()
    print_written(write_comparison(given.runs, given.output), time.monotonic() - start, terminal)


def make_parser(command: str = "lightning") -> argparse.ArgumentParser:
    """The parser of the subcommand.

    Args:
        command: Name of the command, for messages.
    """
    parser = argparse.ArgumentParser(
        prog=f"{command} compare", description="Write a page that compares runs with the same classes or labels."
    )
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="folders of two or more runs; the others "
                        "are compared with the first one")  # fmt: skip
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("comparison.html"),
        metavar="FILE",
        help="HTML file to write (default: comparison.html)",
    )
    return parser
