"""The help of a subcommand, with the settings that are commonly changed."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from lightning.pytorch.cli import LightningArgumentParser

from callbacks.matmul_precision import Precision


@dataclass(frozen=True)
class Option:
    """An option that is not an argument of a class.

    Attributes:
        hint: Type of the value.
        default: Default value.
        help: Description in one sentence.
        is_common: Whether it is commonly changed.
    """

    hint: Any
    default: object
    help: str
    is_common: bool = True


TRUST = {
    "trust": Option(str, None, "Module with classes of yours that a checkpoint may name; may be repeated."),
}
"""The option that is read before a parser is, since it decides what the parser may see."""

COMMON = {
    "ckpt_path": Option(str | None, None, "Checkpoint file written by lightning fit."),
    "seed_everything": Option(bool | int, 0, "Random seed of weights, sampling and augmentation; true draws one."),
    "float32_matmul_precision": Option(
        Precision | None,
        None,
        "Precision of products of float32 matrices on a GPU: highest, high (TF32) or medium; null is high. It changes "
        "nothing on the CPU.",
        is_common=False,
    ),
}
"""The options of every subcommand that are not arguments of a class."""


def add_options(parser: LightningArgumentParser, options: Mapping[str, Option]) -> None:
    """Add options that are not arguments of a class.

    Args:
        parser: Parser of a subcommand.
        options: The options by name, without dashes.
    """
    for name, option in options.items():
        parser.add_argument(f"--{name}", type=option.hint, default=option.default, help=option.help)


def add_config(parser: LightningArgumentParser) -> None:
    """Add the option for settings files.

    Args:
        parser: Parser of a subcommand.
    """
    text = (
        "YAML file of settings, your own or a shipped one such as method/paper.yaml; may be repeated. Options on the "
        "command line take precedence."
    )
    parser.add_argument("-c", "--config", action="config", help=text)


def common_help(
    parser: LightningArgumentParser,
    sections: Mapping[str, type],
    common: Mapping[str, tuple[str, ...]],
    options: Mapping[str, Option],
    settings: Mapping[str, Any],
) -> str:
    """The help of a subcommand with its commonly changed settings, and how to list the others.

    Args:
        parser: Parser of the subcommand.
        sections: Classes whose arguments are options, by the name before the dot.
        common: Names of the arguments to show, by section; a section that the subcommand does not have is ignored.
        options: Options that are not arguments of a class; the common ones are shown.
        settings: Settings to show as defaults.
    """
    shown = LightningArgumentParser(
        prog=parser.prog,
        usage=parser.usage,
        description=parser.description or "",
        epilog=f"To list all settings: {parser.prog} --help all. To print all values and their origins: {parser.prog} "
        f"--print_config. To list the options of a class: {parser.prog} --model.encoder.help GIN.",
    )
    common = {section: names for section, names in common.items() if section in sections}
    add_config(shown)
    add_options(shown, {name: option for name, option in options.items() if option.is_common})
    for section, names in common.items():
        cls = sections[section]
        shown.add_class_arguments(cls, section, skip=set(inspect.signature(cls).parameters) - set(names))
    known = {f"{section}.{name}" for section, names in common.items() for name in names}
    shown.set_defaults({name: value for name, value in _leaves(settings) if name in known})
    return str(shown.format_help())


def _leaves(settings: Mapping[str, Any], place: str = "") -> Iterator[tuple[str, Any]]:
    """Values by dotted name; of a class only its path, and no values that refer to other settings."""
    for name, value in settings.items():
        if isinstance(value, Mapping) and "class_path" in value:
            yield f"{place}{name}", value["class_path"]
        elif isinstance(value, Mapping):
            yield from _leaves(value, f"{place}{name}.")
        elif not (isinstance(value, str) and "${" in value):
            yield f"{place}{name}", value


def option_type(name: str, sections: Mapping[str, type], options: Mapping[str, Option]) -> object:
    """The type of an option; None if it is unknown.

    Args:
        name: The option, without dashes.
        sections: Classes whose arguments are options, by the name before the dot.
        options: Options that are not arguments of a class, by name.
    """
    section, _, argument = name.partition(".")
    if section in sections and "." not in argument:
        parameter = inspect.signature(sections[section], eval_str=True).parameters.get(argument)
        return None if parameter is None else parameter.annotation
    return options[name].hint if name in options else None
