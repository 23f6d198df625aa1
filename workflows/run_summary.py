"""The summary that is printed at the end of a run."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any, SupportsFloat

from base.atomic_file import write_json
from base.printable import printable
from modules.run_layout import CHECKPOINTS, COMPARISON, TEST_METRICS, best_checkpoint, final_checkpoint
from reports.metric_titles import titles_of

if TYPE_CHECKING:
    from lightning.pytorch import Trainer
    from numpy.typing import NDArray
    from rich.console import Console

    from datamodules.drug_datamodule import DrugDataModule


def finite(metrics: Mapping[str, SupportsFloat]) -> dict[str, float | None]:
    """Metrics as JSON takes them: None where one is undefined, such as the recall of a class without samples."""
    return {name: float(value) if math.isfinite(value) else None for name, value in metrics.items()}


def split_metrics(trainer: Trainer, data: DrugDataModule, rows: NDArray[Any], prefix: str) -> dict[str, float | None]:
    """The logged metrics of tested rows, after the numbers of these rows and of their samples.

    Args:
        trainer: The trainer, after validation or testing.
        data: Its data module.
        rows: (n,) rows of the table that were tested.
        prefix: Prefix of the names, such as `test/`.
    """
    sizes = data.records.sizes(rows, data.task.class_counts)
    logged = {name: value for name, value in trainer.callback_metrics.items() if name.startswith(prefix)}
    return {**{f"{prefix}{name}": size for name, size in sizes.items()}, **finite(logged)}


def write_test_metrics(metrics: dict[str, float | None], folder: Path) -> None:
    """Write `test_metrics.json`, the last file of a test; what a report has found of an earlier test is removed.

    Args:
        metrics: Test metrics by name; None where a metric is undefined.
        folder: Folder of the run.
    """
    (folder / COMPARISON).unlink(missing_ok=True)
    write_json(metrics, folder / TEST_METRICS)


def print_test_report(
    metrics: Mapping[str, float | None],
    folder: Path,
    command: str = "lightning",
    console: Console | None = None,
    out_of_fold: bool = False,
) -> None:
    """Print the main test metrics and the files of a run.

    Args:
        metrics: Test metrics by name, as in `test_metrics.json`; None where a metric is undefined.
        folder: Folder of the run.
        command: Name of the command, for the example.
        console: Console to print to; the terminal if None.
        out_of_fold: Whether the metrics are of out-of-fold predictions.
    """
    from rich.console import Console
    from rich.table import Table

    console = console or Console()
    table = Table(title="Test metrics", title_justify="left")
    table.add_column("Metric")
    table.add_column("Value", justify="right")
    for name, title in titles_of(metrics).items():
        value = metrics.get(f"test/{name}")
        table.add_row(title, "-" if value is None else f"{value:.3f}")
    console.print(table)
    if "test/head_accuracy" in metrics:
        text = "Head, middle and tail: mean recall of the most frequent, the other and the rarest classes."
        console.print(text, soft_wrap=True)
    if out_of_fold:
        console.print("Each row was tested by the member of the ensemble that was not trained on it.", soft_wrap=True)
    console.print(_sizes_text(metrics), soft_wrap=True, highlight=False)
    console.print("Written:")
    folders = (folder / name for name in ("class_means", "wandb"))
    names = (*sorted(folder.glob("*.*")), *sorted(folder.glob(f"{CHECKPOINTS}/*.*")), *filter(Path.is_dir, folders))
    for path in names:
        console.print(printable(f"  {path}"), soft_wrap=True, highlight=False, markup=False)
    best = best_checkpoint(folder)
    if best.is_file():
        final = final_checkpoint(best)
        text = ""
        if final is not None:
            text = "The metrics are those of best.ckpt. final.ckpt was trained on all rows; none is left to test it."
        elif not (folder / "folds").is_dir():
            text = "best.ckpt was not trained on validation and test rows; --refit true trains once more, on all rows."
        if text:
            console.print(text, soft_wrap=True, highlight=False)
        added = "--html page.html also draws them, --coverage 0.9 adds sets of labels"
        console.print(f"To predict new samples ({added}):", soft_wrap=True, highlight=False)
        line = f"  {command} predict --ckpt_path {quote(str(final or best))} --data.source new.csv"
        console.print(f"{line} --output predictions.csv", soft_wrap=True, highlight=False, markup=False)


def _sizes_text(metrics: Mapping[str, float | None]) -> str:
    rows, samples, unseen, classes = (
        int(metrics.get(f"test/{name}") or 0) for name in ("rows", "samples", "unseen_rows", "unseen_classes")
    )
    text = f"Tested on {rows:,} rows"
    text += f" of {samples:,} different samples." if samples < rows else "."
    if unseen:
        named = f"{unseen:,} rows of {classes:,} classes" if classes > 1 else f"{unseen:,} rows of one class"
        text += f" Metrics leave out {named} that the model which tested them was not trained on."
    return text
