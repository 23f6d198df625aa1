"""`lightning benchmark`: run a grid of experiments and write tables that compare them."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from base.errors import InputError
from base.printable import printable
from workflows.settings.config_files import find_config, shipped_names
from workflows.settings.layers import settings_files
from workflows.terminal import Terminal

if TYPE_CHECKING:
    from experiments.benchmark_plan import Cell
    from experiments.benchmark_study import BenchmarkStudy

_FIT = (sys.executable, "-m", "lightning_app.cli", "fit")


def main(arguments: list[str], terminal: Terminal) -> None:
    """Run the subcommand.

    Args:
        arguments: The command line after `benchmark`.
        terminal: Name and output options of the command.

    Raises:
        InputError: If the grid, a setting or the database is invalid, or all cells that ended failed.
    """
    given = make_parser(terminal.command).parse_args(arguments)
    import optuna

    from experiments.benchmark_plan import read_plan
    from experiments.benchmark_study import BenchmarkStudy

    plan = read_plan(find_config(given.config), settings_files)
    folder = given.folder or Path("results") / plan.name
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = BenchmarkStudy(plan, folder, given.storage, given.retry_failed)
    if given.dry_run:
        _list(study, terminal.command)
        return
    if not given.tables_only:
        _work(study)
    study.export()
    frame = study.frame()
    failed = frame.filter(frame["state"] == "failed") if len(frame) else frame
    if len(frame) and plan.baseline not in frame.filter(frame["state"] == "complete")["method"]:
        print(f"No tables were written, since no run of the baseline, {plan.baseline}, is complete.")
    elif len(frame):
        from experiments.benchmark_report import write_tables
        from experiments.benchmark_results import with_peers

        for path in write_tables(with_peers(frame, plan, folder, given.config), plan.baseline, plan.ours, folder):
            print(f"Written: {path}")
    for row in failed.iter_rows(named=True):
        cell = f"{row['data']} {row['encoder']} {row['method']} split {row['split_seed']}"
        print(printable(f"Failed: {cell}: {row['error']}"))
    if len(frame) and len(failed) == len(frame):
        raise InputError(
            f"cells: expected a completed one, got {len(failed)} that failed; first error: {failed['error'][0]}"
        )


def make_parser(command: str = "lightning") -> argparse.ArgumentParser:
    """The parser of the subcommand.

    Args:
        command: Name of the command, for messages.
    """
    parser = argparse.ArgumentParser(
        prog=f"{command} benchmark",
        description=f"Run {command} fit for every cell of a grid of data sets, encoders, methods and seeds, and write "
        "tables that compare the methods. A benchmark can be stopped at any time and is continued by the same command. "
        "To run cells in parallel, start it in several terminals or on machines with a shared storage. "
        f"Example: {command} benchmark --config benchmark/quick.yaml. Shipped grids: "
        f"{', '.join(shipped_names('benchmark'))}",
    )
    parser.add_argument("--config", "-c", required=True, help="YAML file of the grid, your own or a shipped one")
    parser.add_argument("--folder", type=Path, help="output folder (default: results/NAME, by the name of the grid)")
    parser.add_argument(
        "--storage",
        help="database URL, such as postgresql://HOST/NAME (default: the SQLite file study.db in the output folder)",
    )
    parser.add_argument("--dry-run", action="store_true", help="list the cells and their expected duration, and stop")
    parser.add_argument(
        "--tables-only", action="store_true", help="write the tables of the completed cells without running others"
    )
    parser.add_argument("--retry-failed", action="store_true", help="run failed cells again")
    return parser


def _work(study: BenchmarkStudy) -> None:
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    from experiments.benchmark_run import CellProcess

    done = len(study.plan.cells) - Counter(study.states().values())["waiting"]
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()
    with Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn(elapsed_when_finished=True)) as progress:
        task = progress.add_task("cells", total=len(study.plan.cells), completed=done)

        def show(cell: Cell, error: str) -> None:
            states = Counter(study.states().values())
            progress.update(task, completed=len(study.plan.cells) - states["waiting"] - states["running"])
            text = printable(f"{cell.name}: {'failed, ' + error if error else 'done'}")
            progress.console.print(text, highlight=False, markup=False, emoji=False)

        study.work(CellProcess(_FIT, study.plan.name), show)


def _list(study: BenchmarkStudy, command: str) -> None:
    """Print the cells with their states and the expected duration of the remaining ones."""
    import polars

    states = study.states()
    frame = study.frame()
    left = [cell for cell in study.plan.cells if states[cell.arguments] in ("waiting", "running")]
    for cell in study.plan.cells:
        print(printable(f"{states[cell.arguments]:9}{cell.name}: {command} fit {cell.arguments}"))
    known: dict[tuple[str, str], float] = {}
    if "seconds" in frame.columns:
        median = frame.group_by("data", "encoder").agg(polars.col("seconds").median())
        known = {(row["data"], row["encoder"]): row["seconds"] for row in median.iter_rows(named=True)}
    times = [known.get((cell.data, cell.encoder)) or cell.seconds for cell in left]
    seconds = sum(time for time in times if time is not None)
    unknown = sum(time is None for time in times)
    duration = f"{seconds / 60:.0f} min" if seconds < 3600 else f"{seconds / 3600:.1f} hours"
    print(f"{len(study.plan.cells)} cells, {len(left)} left: about {duration} on one worker", end="")
    print(f", plus {unknown} cells of unknown duration." if unknown else ".")
