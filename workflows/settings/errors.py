"""One-sentence messages for settings that cannot be parsed."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from shlex import quote

from workflows.settings.command_line import CommandLine
from workflows.settings.option_values import describe_values, import_classes


def reword(
    message: str, help_command: str, names: Iterable[str], command: CommandLine, type_of: Callable[[str], object]
) -> str:
    """Reword an error message of a subcommand's parser.

    Args:
        message: The message of the parser, in several lines.
        help_command: Command that lists all options, such as `lightning fit --help all`.
        names: Dotted names of all options.
        command: The command line.
        type_of: Returns the type of an option by its name, or None if it is unknown.

    Returns:
        A sentence with the option, the expected values and the given value, as far as they are known.
    """
    unknown = re.search(r"unrecognized arguments: (\S+)", message)
    if unknown:
        return _unknown_option(unknown[1], help_command, names)
    key = re.search(r'Parser key "([^"]+)"', message)
    refused = re.search(r"Option '(\S+)' is not accepted", message)
    if refused:
        return f"{key[1] if key else 'settings'}: expected options of the class, got {refused[1]!r}."
    given = re.search(r"(?:Got value|Given value): (.+)", message)
    whole = re.search(r"Unable to load config ['\"]([^'\"]*)['\"]", message)
    if key and whole:
        options = sorted(name for name in names if name.startswith(f"{key[1]}."))
        example = f" such as --{options[0]}" if options else ""
        return f"{key[1]}: expected settings of its own{example}, got {whole[1]!r}."
    if key is None:
        return f"settings: {_one_line(message)}; {help_command} lists all options."
    import_classes()
    hint = type_of(key[1])
    expected = None if hint is None else describe_values(hint)
    if expected is None:
        return f"{key[1]}: {_one_line(message.split(':', 1)[1])}."
    value = given[1] if given else command.value(key[1])
    return f"{key[1]}: expected {expected}, got {value!r}."


def reword_range(message: str) -> str:
    """Reword the message of an error that a class raised when it was created.

    Args:
        message: The message; that of the parser may contain ours in one of several lines.

    Returns:
        Our sentence, or else the message in one line.
    """
    own = re.search(r"(?:^|- )([\w.]+(?: and [\w.]+)?: expected .+)$", message, re.MULTILINE)
    return own[1] if own else f"settings: {_one_line(message)}."


def _unknown_option(given: str, help_command: str, names: Iterable[str]) -> str:
    if not given.startswith("-"):
        table = f"; to use a file as the table: --data.source {quote(given)}" if Path(given).is_file() else ""
        return f"options: expected an option before every value, got {given!r}{table}."
    name = given.split("=")[0]
    near = difflib.get_close_matches(name, [f"--{known}" for known in names if "." in known], 1, 0.75)
    meant = f" Did you mean {near[0]}?" if near else ""
    return f"options: expected an option that {help_command} lists, got {name}.{meant}"


def _one_line(text: str) -> str:
    return " ".join(text.replace(" - ", " ").split()).rstrip(".")
