"""`lightning datasets`: list the data sets known by name."""

from __future__ import annotations

from pathlib import Path

from base.errors import InputError
from datamodules.datasets.dataset_catalog import CATALOG, local_file
from workflows.terminal import Terminal

HELP = """\
usage: {command} datasets

List the data sets that --data.source accepts by name. The first use of a data
set downloads it to $TAILMOL_CACHE/datasets, or to the user's cache folder.
Classes and imbalance ratio of downloaded data sets are counted in their files.
"""

_NARROWEST = 80


def main(arguments: list[str], terminal: Terminal) -> None:
    """Run the subcommand.

    Args:
        arguments: The command line after `datasets`.
        terminal: Name and output options of the command.

    Raises:
        InputError: If there is an argument, or a downloaded file cannot be read as a table.
    """
    if "-h" in arguments or "--help" in arguments:
        print(HELP.replace("{command}", terminal.command), end="")
        return
    if arguments:
        raise InputError(f"datasets: expected no arguments, got {arguments[0]!r}.")
    from datamodules.feature_cache import default_cache_folder

    print_catalog(default_cache_folder(), terminal.command)


def print_catalog(cache_folder: Path, command: str = "lightning") -> None:
    """Print a table of the data sets, and how to use one.

    Args:
        cache_folder: Folder of downloaded tables.
        command: Name of the command, for messages.

    Raises:
        InputError: If a downloaded file cannot be read as a table.
    """
    from rich.console import Console
    from rich.table import Table

    from datamodules.datasets.class_sizes import class_sizes

    console = Console()
    # On a narrower terminal, wrapped lines are complete, whereas rich would shorten words.
    console.width = max(console.width, _NARROWEST)
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for title in ("Data set", "Input"):
        table.add_column(title, no_wrap=True)
    for title in ("Rows", "Classes", "Imbalance"):
        table.add_column(title, justify="right", no_wrap=True)
    for title in ("License", "Stored"):
        table.add_column(title, no_wrap=True)
    for dataset in CATALOG.values():
        file = local_file(dataset, cache_folder)
        column = dataset.label_column
        sizes = class_sizes(file, column) if file is not None and isinstance(column, str) else []
        classes = len(sizes) or dataset.classes
        ratio = max(sizes) / min(sizes) if sizes else dataset.imbalance_ratio
        table.add_row(
            dataset.name,
            dataset.input,
            f"{dataset.rows:,}",
            "-" if classes is None else f"{classes:,}",
            "-" if ratio is None else f"{ratio:,.1f}",
            dataset.license,
            "shipped" if dataset.address is None else "yes" if file else "no",
        )
    console.print(table)
    console.print(f"Use one with: {command} fit --data.source NAME", soft_wrap=True, highlight=False)
