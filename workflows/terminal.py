"""Options of the command that determine what is printed."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True)
class Terminal:
    """The name of the command and its output options.

    Attributes:
        command: Name by which the command was called.
        quiet: Whether to print only warnings and errors.
        json: Whether to print the result as one line of JSON; implies quiet.
        debug: Whether to print the traceback of errors.
    """

    command: str = "lightning"
    quiet: bool = False
    json: bool = False
    debug: bool = False


def take_terminal_options(arguments: Sequence[str], command: str = "lightning") -> tuple[Terminal, list[str]]:
    """Read the output options, which every subcommand has.

    Args:
        arguments: The command line.
        command: Name by which the command was called.

    Returns:
        The options, and the command line without them.
    """
    given = {name: f"--{name}" in arguments for name in ("quiet", "json", "debug")}
    given["quiet"] |= given["json"]
    return Terminal(command, **given), [
        argument for argument in arguments if argument not in ("--quiet", "--json", "--debug")
    ]


@contextmanager
def quiet_lightning() -> Iterator[None]:
    """Log only warnings and errors of Lightning while a block or a decorated function runs.

    Lightning must be imported before, since it sets its log levels at import.
    """
    loggers = [logging.getLogger(f"lightning.{package}") for package in ("pytorch", "fabric")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
