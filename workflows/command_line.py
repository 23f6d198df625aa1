"""A command line, taken apart before it is parsed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import yaml
from jsonargparse import get_loader

from workflows.setting_merge import Layer, compose


@dataclass(frozen=True)
class CommandLine:
    """A command line, taken apart.

    Attributes:
        configs: What `--config` names, in order.
        options: Names without dashes, and values as text; a name that ends in + appends to a list.
        rest: Words that are no option with a value.
    """

    configs: tuple[str, ...]
    options: tuple[tuple[str, str], ...]
    rest: tuple[str, ...]

    def value(self, name: str) -> str | None:
        """The last value of an option, or None where it is not given."""
        return dict(self.options).get(name)

    def layer(self) -> Layer:
        """The options as a layer; their order does not matter."""
        settings: dict[str, Any] = {}
        for name, text in sorted(self.options, key=lambda option: option[0].count(".")):
            if not name.endswith("+"):
                settings = compose([Layer("", settings), Layer("", _nested(name, _load(text)))]).settings
        return Layer("option", settings)

    def without(self, settings: Sequence[str]) -> CommandLine:
        """The command line without the options of some settings.

        Args:
            settings: Such as `model.optimizer`.
        """
        names = tuple(settings)
        kept = [
            (name, value)
            for name, value in self.options
            if name not in names and not name.startswith(tuple(f"{one}." for one in names))
        ]
        return CommandLine(self.configs, tuple(kept), self.rest)

    def words(self) -> list[str]:
        """The options for a parser, which must meet a class before its options, and the rest."""
        options = sorted(self.options, key=lambda option: option[0].count("."))
        return [*(f"--{name}={value}" for name, value in options), *self.rest]


def take_apart(arguments: Sequence[str]) -> CommandLine:
    """Divide a command line into settings files, options and the rest.

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


def option_value(arguments: Sequence[str], name: str) -> str | None:
    """The value that the command line gives an option, before it is parsed; the last one counts.

    Args:
        arguments: The command line after the subcommand.
        name: The option with its dashes.
    """
    return take_apart(arguments).value(name.removeprefix("--"))


def _load(text: str) -> Any:
    """A value of YAML, as the parser of the options reads it; text that is no YAML stays text."""
    try:
        return get_loader("yaml")(text)
    except yaml.YAMLError:
        return text


def _nested(name: str, value: Any) -> dict[str, Any]:
    """A value under its dotted name."""
    for part in reversed(name.split(".")):
        value = {part: value}
    return dict(value)
