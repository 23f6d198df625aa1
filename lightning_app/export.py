"""`lightning export`: write a trained model as a folder that predicts without torch."""

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
        arguments: The command line after `export`.
        terminal: Name and output options of the command.

    Raises:
        InputError: If the checkpoint cannot be read, or its model cannot be exported.
    """
    from modules.saved_settings.known_classes import trusted_modules
    from workflows.export import export_run

    given = make_parser(terminal.command).parse_args(arguments)
    exported = export_run(given.run, given.folder, trusted_modules(given.trust))
    if terminal.json:
        written = {"export": str(exported.folder), "checkpoint": str(exported.checkpoint), "bytes": exported.size}
        print(json.dumps(written))
    elif not terminal.quiet:
        print(printable(f"Written: {exported.folder} ({exported.size / 1e6:.1f} MB)"))
        print("To predict, with onnxruntime, RDKit and numpy alone:")
        print(printable(f"  python {exported.folder / 'predict.py'} new.csv predictions.csv"))


def make_parser(command: str = "lightning") -> argparse.ArgumentParser:
    """The parser of the subcommand.

    Args:
        command: Name of the command, for messages.
    """
    parser = argparse.ArgumentParser(
        prog=f"{command} export",
        description="Write a trained model as an ONNX file, with the settings of its features and a program that "
        "predicts without torch.",
    )
    parser.add_argument("run", type=Path, metavar="RUN", help="folder of a run, or a checkpoint")
    parser.add_argument(
        "--output",
        dest="folder",
        type=Path,
        metavar="FOLDER",
        help="folder to write (default: export in the run's folder)",
    )
    parser.add_argument("--trust", action="append", default=[], metavar="MODULE", help=TRUST["trust"].help)
    return parser
