"""`lightning prepare`: download, check and featurize a table ahead of training."""

from __future__ import annotations

import logging

from workflows.settings.column_check import check_columns
from workflows.terminal import Terminal

_log = logging.getLogger("tailmol")


def main(arguments: list[str], terminal: Terminal) -> None:
    """Run the subcommand.

    Args:
        arguments: The command line after `prepare`.
        terminal: Name and output options of the command.

    Raises:
        InputError: If a setting, a file or the table is invalid.
    """
    if not {"-h", "--help", "--print_config"} & set(arguments):
        check_columns(arguments)

    from workflows.prepare import prepare

    folder = prepare(arguments, terminal.command)
    _log.info(f"Features are cached in {folder}; {terminal.command} fit with the same settings uses them.")
