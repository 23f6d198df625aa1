"""`lightning decide`: choose anew what the predictions of a trained model are best at."""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from base.errors import InputError
from base.printable import printable
from workflows.settings.command_help import TRUST
from workflows.terminal import Terminal

if TYPE_CHECKING:
    from workflows.decide import Decided


def main(arguments: list[str], terminal: Terminal) -> None:
    """Run the subcommand.

    Args:
        arguments: The command line after `decide`.
        terminal: Name and output options of the command.

    Raises:
        InputError: If the checkpoint or its scores cannot be read, or an option is invalid.
    """
    from modules.decisions.settings import DecisionSettings
    from modules.saved_settings.known_classes import trusted_modules
    from workflows.decide import decide
    from workflows.run_summary import finite

    given = make_parser(terminal.command).parse_args(arguments)
    settings = DecisionSettings(given.objective, given.points, _labels(given.classes), given.least, given.costs)
    decided = decide(given.run, settings, trusted_modules(given.trust))
    if terminal.json:
        metrics = {name: finite(getattr(decided, name)) for name in ("before", "after", "crossed")}
        print(json.dumps({"checkpoint": str(decided.checkpoints[0]), "samples": decided.samples, **metrics}))
    elif not terminal.quiet:
        _show(decided)


def make_parser(command: str = "lightning") -> argparse.ArgumentParser:
    """The parser of the subcommand.

    Args:
        command: Name of the command, for messages.
    """
    from typing import get_args

    from modules.decisions.settings import DecisionSettings, ObjectiveName

    defaults = DecisionSettings()
    parser = argparse.ArgumentParser(
        prog=f"{command} decide",
        description="Choose anew what the predictions of a trained model are best at, without training. The choice is "
        "made on the scores that fit has written beside the checkpoint, and changes nothing else in the checkpoint.",
    )
    parser.add_argument("run", type=Path, metavar="RUN", help="folder of a run, or a checkpoint")
    names = get_args(ObjectiveName)
    parser.add_argument(
        "--objective",
        required=True,
        choices=names,
        metavar="NAME",
        help=f"what the decision is best at: {', '.join(names[:-1])} or {names[-1]}",
    )
    parser.add_argument(
        "--points",
        type=float,
        default=defaults.points,
        metavar="X",
        help="for head_kept: percentage points of head accuracy that may be lost (default: %(default)g)",
    )
    parser.add_argument(
        "--classes",
        nargs="+",
        default=[],
        metavar="LABEL",
        help="for recall: the labels of the classes, also as one list such as '[-caine, -tinib]'",
    )
    parser.add_argument(
        "--least",
        type=float,
        default=defaults.least,
        metavar="X",
        help="for recall: smallest mean recall of the classes; of several labels, that of each (default: %(default)g)",
    )
    parser.add_argument(
        "--costs",
        metavar="FILE",
        help="for cost_matrix: CSV file with the cost of each true class (row) predicted as each class (column)",
    )
    parser.add_argument("--trust", action="append", default=[], metavar="MODULE", help=TRUST["trust"].help)
    return parser


def _labels(given: list[str]) -> list[str]:
    """The labels that are given, one a word or all in one list as `lightning fit` takes it."""
    if len(given) != 1 or not given[0].startswith("["):
        return given
    try:
        labels = yaml.load(given[0], yaml.BaseLoader)
    except yaml.YAMLError:
        labels = None
    if not isinstance(labels, list) or not all(isinstance(label, str) for label in labels):
        raise InputError(f"classes: expected a list such as [-caine, -tinib], got {given[0]}.")
    return labels


def _show(decided: Decided) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"Metrics on the {decided.samples:,} samples with scores", title_justify="left")
    for title in ("Metric", "Before", "After", "After, on samples it was not chosen on"):
        table.add_column(title, justify="left" if title == "Metric" else "right")
    for name, value in decided.after.items():
        given = (decided.before.get(name), value, decided.crossed.get(name))
        table.add_row(_title(name), *("-" if one is None or math.isnan(one) else f"{one:.3f}" for one in given))
    console = Console()
    console.print(table)
    written = ", ".join(map(str, decided.checkpoints))
    console.print(printable(f"Written: {written}"), soft_wrap=True, highlight=False, markup=False)


def _title(name: str) -> str:
    from reports.metric_titles import METRICS, MULTILABEL_METRICS

    return {**MULTILABEL_METRICS, **METRICS}.get(name, name.capitalize())
