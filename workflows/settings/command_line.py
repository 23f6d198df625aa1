"""The command line of a subcommand, split before a parser sees it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import yaml
from jsonargparse import get_loader

from workflows.settings.merge import Layer, compose


@dataclass(frozen=True)
class CommandLine:
    """A command line, split into settings files, options and the rest.

    Attributes:
        configs: The values of `--config`, in order.
        options: Option names without dashes, and their values as text. A name that ends in `+` appends to a list.
        rest: Everything that is not an option with a value.
    """

    configs: tuple[str, ...]
    options: tuple[tuple[str, str], ...]
    rest: tuple[str, ...]

    def value(self, name: str) -> str | None:
        """The last value of an option, or None if it is not given.

        Args:
            name: The option, without dashes.
        """
        return dict(self.options).get(name)

    def layer(self) -> Layer:
        """The options as a layer of settings; their order does not matter."""
        settings: dict[str, Any] = {}
        for name, text in self._outer_first():
            if not name.endswith("+"):
                settings = compose([Layer("", settings), Layer("", _nest(name, _load(text)))]).settings
        return Layer("option", settings)

    def without(self, settings: Sequence[str]) -> CommandLine:
        """The command line without the options of some settings.

        Args:
            settings: Dotted names, such as `model.optimizer`; the settings inside them are dropped too.
        """
        names, prefixes = tuple(settings), tuple(f"{name}." for name in settings)
        kept = [(name, value) for name, value in self.options if name not in names and not name.startswith(prefixes)]
        return CommandLine(self.configs, tuple(kept), self.rest)

    def words(self) -> list[str]:
        """The options for a parser, which must read a class before its arguments, and the rest."""
        return [*(f"--{name}={value}" for name, value in self._outer_first()), *self.rest]

    def _outer_first(self) -> list[tuple[str, str]]:
        return sorted(self.options, key=lambda option: option[0].count("."))


def take_option(arguments: Sequence[str], name: str) -> tuple[list[str], list[str]]:
    """Take an option that may be repeated from a command line.

    Args:
        arguments: The command line after the subcommand.
        name: The option, without dashes.

    Returns:
        The values, and the command line without them.
    """
    values, rest = [], []
    words = list(arguments)
    while words:
        word = words.pop(0)
        if word.startswith(f"--{name}="):
            values.append(word.partition("=")[2])
        elif word == f"--{name}" and words:
            values.append(words.pop(0))
        else:
            rest.append(word)
    return values, rest


def split_command_line(arguments: Sequence[str]) -> CommandLine:
    """Split a command line into settings files, options and the rest.

    Args:
        arguments: The command line after the subcommand.
    """
    configs, options, rest = [], [], []
    words = list(arguments)
    while words:
        word = words.pop(0)
        name, equals, value = word.partition("=")
        name = "--config" if name == "-c" else name
        if not name.startswith("--") or (not equals and (not words or words[0].startswith("--"))):
            rest.append(word)
            continue
        value = value if equals else words.pop(0)
        if name == "--config":
            configs.append(value)
        else:
            options.append((name.removeprefix("--"), value))
    return CommandLine(tuple(configs), tuple(options), tuple(rest))


def _load(text: str) -> Any:
    """A YAML value as the option parser reads it; text that is not valid YAML is kept as text."""
    try:
        return get_loader("yaml")(text)
    except yaml.YAMLError:
        return text


def _nest(name: str, value: Any) -> dict[str, Any]:
    """A value in nested mappings, by its dotted name."""
    for part in reversed(name.split(".")):
        value = {part: value}
    return dict(value)
