"""`lightning submit`: write predictions of test rows in the form that a public benchmark evaluates."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from base.printable import printable
from workflows.settings.command_help import TRUST
from workflows.terminal import Terminal


def main(arguments: list[str], terminal: Terminal) -> None:
    """Run the subcommand.

    Args:
        arguments: The command line after `submit`.
        terminal: Name and output options of the command.

    Raises:
        InputError: If a run or a table cannot be read, a row has no prediction, or the form does not fit the runs.
    """
    from base.atomic_file import write_json
    from base.errors import InputError
    from modules.saved_settings.known_classes import trusted_modules
    from tailmol.submitted_runs import predict_tests
    from workflows.submission import polaris_predictions, tdc_predictions

    given = make_parser(terminal.command).parse_args(arguments)
    if (given.form == "tdc") != (given.benchmark is not None):
        expected = "the name of the benchmark for tdc" if given.form == "tdc" else "none for polaris"
        raise InputError(f"benchmark: expected {expected}, got {given.benchmark or 'none'}.")
    runs = predict_tests(given.runs, given.test, given.output, trusted_modules(given.trust))
    rows = sum(len(frame) for frame in runs[0].predictions.values())
    if given.form == "tdc":
        write_json(tdc_predictions(runs, given.benchmark), given.output)
    else:
        write_json(polaris_predictions(runs), given.output)
    if terminal.json:
        print(json.dumps({"output": str(given.output), "runs": len(runs), "rows": rows}))
    elif not terminal.quiet:
        several = "s" if len(runs) > 1 else ""
        print(printable(f"Predictions of {len(runs)} run{several} for {rows:,} test rows written to {given.output}."))


def make_parser(command: str = "lightning") -> argparse.ArgumentParser:
    """The parser of the subcommand.

    Args:
        command: Name of the command, for messages.
    """
    from typing import get_args

    from workflows.submission import Form

    parser = argparse.ArgumentParser(
        prog=f"{command} submit",
        description="Write the predictions of runs for the test rows of a public benchmark as the JSON file that its "
        "library evaluates (docs/benchmarks.md).",
    )
    parser.add_argument(
        "runs",
        type=Path,
        nargs="+",
        metavar="RUN",
        help="folders of runs, or checkpoints: one for each seed for tdc, one for each target column for polaris",
    )
    parser.add_argument("--form", required=True, choices=get_args(Form), help="library of the benchmark")
    parser.add_argument("--output", type=Path, required=True, metavar="FILE", help="JSON file to write")
    parser.add_argument("--benchmark", metavar="NAME", help="for tdc: name of the benchmark, such as herg")
    parser.add_argument(
        "--test",
        type=Path,
        nargs="+",
        default=[],
        metavar="FILE",
        help="tables of the test rows, each a test set (default: the test rows of the table of each run, for runs with "
        "--data.split file)",
    )
    parser.add_argument("--trust", action="append", default=[], metavar="MODULE", help=TRUST["trust"].help)
    return parser
