"""The help of a subcommand: the settings that people change."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from lightning.pytorch.cli import LightningArgumentParser


@dataclass(frozen=True)
class Option:
    """An option that belongs to no class.

    Attributes:
        hint: Its type.
        default: Its value where it is not given.
        help: A sentence.
    """

    hint: Any
    default: object
    help: str


def add_options(parser: LightningArgumentParser, options: Mapping[str, Option]) -> None:
    """Add options that belong to no class.

    Args:
        parser: Of a subcommand.
        options: By name, without dashes.
    """
    for name, option in options.items():
        parser.add_argument(f"--{name}", type=option.hint, default=option.default, help=option.help)


def add_config(parser: LightningArgumentParser) -> None:
    """Add the option that names settings files.

    Args:
        parser: Of a subcommand.
    """
    text = "Settings in YAML, yours or shipped, such as method/paper.yaml; may be given several times; options win."
    parser.add_argument("-c", "--config", action="config", help=text)


def common_help(
    parser: LightningArgumentParser,
    sections: Mapping[str, type],
    common: Mapping[str, tuple[str, ...]],
    options: Mapping[str, Option],
    settings: Mapping[str, Any],
) -> str:
    """The help of a subcommand with the settings that people change, and how to see the rest.

    Args:
        parser: Of the subcommand.
        sections: The classes whose arguments are options, by the name before the dot.
        common: The arguments that are shown of each section.
        options: Options that belong to no class; all are shown.
        settings: What lies under the options and is shown as defaults.
    """
    shown = LightningArgumentParser(
        prog=parser.prog,
        usage=parser.usage,
        description=parser.description or "",
        epilog=f"{parser.prog} --help all: every setting. {parser.prog} --print_config: every value, and the file that "
        f"it comes from. {parser.prog} --model.encoder.help GIN: the options of a class.",
    )
    add_config(shown)
    add_options(shown, options)
    for section, names in common.items():
        cls = sections[section]
        shown.add_class_arguments(cls, section, skip=set(inspect.signature(cls).parameters) - set(names))
    known = {f"{section}.{name}" for section, names in common.items() for name in names}
    shown.set_defaults({name: value for name, value in _leaves(settings) if name in known})
    return str(shown.format_help())


def _leaves(settings: Mapping[str, Any], place: str = "") -> Iterator[tuple[str, Any]]:
    """Values with their dotted names; a class by its path alone, and nothing that depends on other settings."""
    for name, value in settings.items():
        if isinstance(value, Mapping) and "class_path" in value:
            yield f"{place}{name}", value["class_path"]
        elif isinstance(value, Mapping):
            yield from _leaves(value, f"{place}{name}.")
        elif not (isinstance(value, str) and "${" in value):
            yield f"{place}{name}", value
