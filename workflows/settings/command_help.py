"""The help of a subcommand, with the settings that are commonly changed."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lightning.pytorch.cli import LightningArgumentParser

from callbacks.matmul_precision import Precision
from workflows.settings.listing import one_line


@dataclass(frozen=True)
class Option:
    """An option that is not an argument of a class.

    Attributes:
        hint: Type of the value.
        default: Default value.
        help: Description in one sentence.
    """

    hint: Any
    default: object
    help: str


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
    ),
}
"""The options of every subcommand that are not arguments of a class."""

GENERAL = {
    "-c, --config FILE": "YAML file, yours or method/paper.yaml",
    "--trust MODULE": "module with your classes in a checkpoint",
    "--print_config": "print all settings and their origins",
    "--model.encoder.help GIN": "list the settings of a class",
    "--quiet, --json, --debug": "print less, one line of JSON, tracebacks",
}
"""What the help of every subcommand with settings says of options that are none."""

COMPUTING = {
    "data.evaluation_batch_size": "samples in a batch, except in training",
    "trainer.accelerator": "or cpu, gpu, mps",
    "trainer.devices": "number of GPUs or processes",
}
RUN = {
    "run.root": "folder of all runs",
    "run.name": "folder in it; null: name of the data",
    "tracking.wandb": "W&B: auto, online, offline or disabled",
}
"""What the help of several subcommands says of settings, by name."""

_COLUMNS = 80
"""Width of the help, that of the narrowest usual terminal."""


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
    groups: Mapping[str, Mapping[str, str]],
    settings: Mapping[str, Any],
    saved: Sequence[str],
) -> str:
    """The help of a subcommand with its commonly changed settings, and how to list the others.

    Args:
        parser: Parser of the subcommand.
        groups: What the help says of each setting, by its name and the title of its group.
        settings: Settings to show as default values.
        saved: Sections whose default values are those of a checkpoint, and are not shown.
    """
    values = dict(parser.get_defaults().items()) | dict(_leaves(settings))
    shown = {"General": GENERAL}
    for title, texts in groups.items():
        known = {name: "VALUE" if name.partition(".")[0] in saved else one_line(values[name]) for name in texts}
        shown[title] = {f"--{name} {known[name]}": text for name, text in texts.items()}
    width = max(len(option) for texts in shown.values() for option in texts)
    lines = [f"usage: {parser.usage}", "", *textwrap.wrap(parser.description or "", _COLUMNS)]
    for title, texts in shown.items():
        lines += ["", f"{title}:", *(f"  {option:<{width}}  {text}" for option, text in texts.items())]
    return "\n".join([*lines, "", f"To list all settings: {parser.prog} --help all.", ""])


def _leaves(settings: Mapping[str, Any], place: str = "") -> Iterator[tuple[str, Any]]:
    """Values by dotted name; of a class only its name, and no values that refer to other settings."""
    for name, value in settings.items():
        if isinstance(value, Mapping) and "class_path" in value:
            yield f"{place}{name}", value["class_path"].rpartition(".")[2]
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
