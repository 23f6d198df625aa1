"""`lightning compare`: several runs on one page."""

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
        terminal: How the command was called, and how much it says.

    Raises:
        InputError: If a run cannot be read, or the runs have different classes.
    """
    from reports.run_comparison import write_comparison

    given = make_parser(terminal.command).parse_args(arguments)
    start = time.monotonic()
    print_written(write_comparison(given.runs, given.output), time.monotonic() - start, terminal)


def make_parser(command: str = "lightning") -> argparse.ArgumentParser:
    """What the subcommand takes.

    Args:
        command: How the command was called.
    """
    parser = argparse.ArgumentParser(
        prog=f"{command} compare", description="Write one page that compares runs with the same classes."
    )
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="folders of two or more runs; first the one "
                        "that the others are compared with")  # fmt: skip
    parser.add_argument(
        "--output", type=Path, default=Path("comparison.html"), metavar="FILE", help="the page (comparison.html)"
    )
    return parser
