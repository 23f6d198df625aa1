"""How a command was called, and how much it says on the terminal."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True)
class Terminal:
    """How a command was called, and how much it says.

    Attributes:
        command: The name that it was called by.
        quiet: Warnings and errors alone.
        json: Quiet, and the result as one line of JSON on standard output.
        debug: Errors with their traceback.
    """

    command: str = "lightning"
    quiet: bool = False
    json: bool = False
    debug: bool = False


def take_terminal_options(arguments: Sequence[str], command: str = "lightning") -> tuple[Terminal, list[str]]:
    """Read the options that every subcommand has, and return the command line without them.

    Args:
        arguments: The command line.
        command: The name that the command was called by.
    """
    given = {name: f"--{name}" in arguments for name in ("quiet", "json", "debug")}
    given["quiet"] |= given["json"]
    return Terminal(command, **given), [
        argument for argument in arguments if argument not in ("--quiet", "--json", "--debug")
    ]


@contextmanager
def quiet_lightning() -> Iterator[None]:
    """Leave Lightning its warnings alone while a block or a decorated function runs.

    Lightning sets its levels when it is imported, which must have happened.
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
