"""One sentence for a setting that cannot be parsed."""

from __future__ import annotations

import difflib
import re
from argparse import ArgumentParser
from collections.abc import Sequence
from pathlib import Path

from workflows.option_values import describe_values, import_classes
from workflows.setting_layers import option_value


def reword(message: str, parser: ArgumentParser, arguments: Sequence[str]) -> str:
    """Say what the parser of a subcommand complained about.

    Args:
        message: The parser's, of several lines.
        parser: Of the subcommand.
        arguments: The command line.

    Returns:
        A sentence with the option, what came, and what was expected, as far as they are known.
    """
    unknown = re.search(r"unrecognized arguments: (\S+)", message)
    if unknown:
        return _unknown_option(unknown[1], parser)
    key = re.search(r'Parser key "([^"]+)"', message)
    refused = re.search(r"Option '(\S+)' is not accepted", message)
    if refused:
        return f"{key[1] if key else 'settings'}: there is no setting {refused[1]!r} here."
    given = re.search(r"(?:Got value|Given value): (.+)", message)
    if key is None:
        return f"settings: {_one_line(message)}; lightning {_subcommand(parser)} --help lists what there is."
    import_classes()
    hints = [getattr(action, "_typehint", None) for action in parser._actions if action.dest == key[1]]
    expected = describe_values(hints[0]) if hints else None
    if expected is None:
        return f"{key[1]}: {_one_line(message.split(':', 1)[1])}."
    value = given[1] if given else option_value(arguments, f"--{key[1]}")
    return f"{key[1]}: expected {expected}, got {value!r}."


def _unknown_option(given: str, parser: ArgumentParser) -> str:
    if not given.startswith("-"):
        table = f"; a table goes after --data.source: --data.source {given}" if Path(given).is_file() else ""
        return f"{given!r} stands behind no option{table}."
    name = given.split("=")[0]
    options = [option for option in parser._option_string_actions if "." in option]
    near = difflib.get_close_matches(name, options, 1, 0.75)
    meant = f" Did you mean {near[0]}?" if near else ""
    return f"there is no option {name}; lightning {_subcommand(parser)} --help lists what there is.{meant}"


def _subcommand(parser: ArgumentParser) -> str:
    return parser.prog.split()[-1]


def _one_line(text: str) -> str:
    return " ".join(text.replace(" - ", " ").split()).rstrip(".")
