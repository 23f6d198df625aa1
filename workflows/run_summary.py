"""The short table at the end of a run."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from lightning.pytorch import Trainer

from base.atomic_file import write_json
from workflows.terminal import terminal_mode

if TYPE_CHECKING:
    from rich.console import Console

SHOWN = (
    ("balanced_accuracy", "Balanced accuracy"),
    ("accuracy", "Accuracy"),
    ("head_accuracy", "Head accuracy"),
    ("middle_accuracy", "Middle accuracy"),
    ("tail_accuracy", "Tail accuracy"),
    ("balanced_f1", "Balanced F1"),
    ("macro_f1", "Macro F1"),
    ("auroc", "AUROC (macro)"),
    ("average_precision", "Average precision (macro)"),
    ("calibration_error", "Calibration error"),
)


def finite_metrics(trainer: Trainer, prefix: str) -> dict[str, float | None]:
    """The logged metrics whose names start with `prefix`; None where one does not exist, as recall without samples."""
    logged = {name: float(value) for name, value in trainer.callback_metrics.items() if name.startswith(prefix)}
    return {name: value if math.isfinite(value) else None for name, value in logged.items()}


def report_test(trainer: Trainer, folder: Path) -> None:
    """Write `test_metrics.json` and print the table, or with `--json` one line of it, on the first process.

    Args:
        trainer: It has just tested.
        folder: The run's.
    """
    if trainer.is_global_zero:
        metrics = finite_metrics(trainer, "test/")
        write_json(metrics, folder / "test_metrics.json")
        if terminal_mode().json:
            print(json.dumps({"run": str(folder), **metrics}))
        elif not terminal_mode().quiet:
            print_test_report(metrics, folder)


def print_test_report(metrics: Mapping[str, float | None], folder: Path, console: Console | None = None) -> None:
    """Print the main metrics and the files of a run.

    Args:
        metrics: As in `test_metrics.json`; None where a metric does not exist.
        folder: The run's.
        console: Where to print; the terminal if None.
    """
    from rich.console import Console
    from rich.table import Table

    console = console or Console()
    table = Table(title="Test split", title_justify="left")
    table.add_column("Metric")
    table.add_column("Value", justify="right")
    for name, title in SHOWN:
        value = metrics.get(f"test/{name}")
        table.add_row(title, "-" if value is None else f"{value:.3f}")
    console.print(table)
    console.print("Written:")
    names = (*sorted(folder.glob("*.*")), *sorted(folder.glob("checkpoints/*.ckpt")), *folder.glob("wandb"))
    for path in names:
        console.print(f"  {path}", soft_wrap=True, highlight=False)
    best = folder / "checkpoints" / "best.ckpt"
    if best.is_file():
        console.print("Predict on new molecules with:")
        command = f"  lightning predict --ckpt_path {best} --data.source new.csv --output predictions.csv"
        console.print(command, soft_wrap=True, highlight=False)
