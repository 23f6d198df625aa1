"""One sentence for a setting that cannot be parsed."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable
from pathlib import Path

from workflows.settings.command_line import CommandLine
from workflows.settings.option_values import describe_values, import_classes


def reword(
    message: str, help_command: str, names: Iterable[str], command: CommandLine, type_of: Callable[[str], object]
) -> str:
    """Say what the parser of a subcommand complained about.

    Args:
        message: The parser's, of several lines.
        help_command: What lists the options, such as `lightning fit --help`.
        names: Dotted names of all options.
        command: The command line.
        type_of: The type of an option, or None where it is unknown.

    Returns:
        A sentence with the option, what it got, and what was expected, as far as they are known.
    """
    unknown = re.search(r"unrecognized arguments: (\S+)", message)
    if unknown:
        return _unknown_option(unknown[1], help_command, names)
    key = re.search(r'Parser key "([^"]+)"', message)
    refused = re.search(r"Option '(\S+)' is not accepted", message)
    if refused:
        return f"{key[1] if key else 'settings'}: there is no setting {refused[1]!r} here."
    given = re.search(r"(?:Got value|Given value): (.+)", message)
    if key is None:
        return f"settings: {_one_line(message)}; {help_command} lists what there is."
    import_classes()
    hint = type_of(key[1])
    expected = None if hint is None else describe_values(hint)
    if expected is None:
        return f"{key[1]}: {_one_line(message.split(':', 1)[1])}."
    value = given[1] if given else command.value(key[1])
    return f"{key[1]}: expected {expected}, got {value!r}."


def _unknown_option(given: str, help_command: str, names: Iterable[str]) -> str:
    if not given.startswith("-"):
        table = f"; a table goes after --data.source: --data.source {given}" if Path(given).is_file() else ""
        return f"{given!r} stands behind no option{table}."
    name = given.split("=")[0]
    near = difflib.get_close_matches(name, [f"--{known}" for known in names if "." in known], 1, 0.75)
    meant = f" Did you mean {near[0]}?" if near else ""
    return f"there is no option {name}; {help_command} lists what there is.{meant}"


def _one_line(text: str) -> str:
    return " ".join(text.replace(" - ", " ").split()).rstrip(".")
