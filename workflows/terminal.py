"""How much a command says on the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class TerminalMode:
    """What the options that every subcommand has ask for.

    Attributes:
        quiet: Warnings and errors alone.
        json: Quiet, and the result as one line of JSON on standard output.
        debug: Errors with their traceback.
    """

    quiet: bool = False
    json: bool = False
    debug: bool = False


_mode = TerminalMode()


def terminal_mode() -> TerminalMode:
    """What the command line asked for."""
    return _mode


def take_terminal_mode(arguments: Sequence[str]) -> list[str]:
    """Remember the options `--quiet`, `--json` and `--debug`, and return the command line without them."""
    global _mode
    given = {name: f"--{name}" in arguments for name in ("quiet", "json", "debug")}
    _mode = replace(TerminalMode(**given), quiet=given["quiet"] or given["json"])
    return [argument for argument in arguments if argument not in ("--quiet", "--json", "--debug")]
