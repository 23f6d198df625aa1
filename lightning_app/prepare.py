"""`lightning prepare`: download, check and featurize a table ahead of time."""

from __future__ import annotations

import logging

from workflows.settings.column_check import check_columns
from workflows.terminal import Terminal

_log = logging.getLogger("tailmol")


def main(arguments: list[str], terminal: Terminal) -> None:
    """Run the subcommand.

    Args:
        arguments: The command line after `prepare`.
        terminal: How the command was called, and how much it says.

    Raises:
        InputError: If the user's input is at fault.
    """
    if not {"-h", "--help", "--print_config"} & set(arguments):
        check_columns(arguments)

    from workflows.prepare import prepare

    folder = prepare(arguments, terminal.command)
    _log.info(f"Features are in {folder}; {terminal.command} fit with the same settings starts at once.")
