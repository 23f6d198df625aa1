"""The short table at the end of a run."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lightning.pytorch import Trainer
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


def print_test_report(
    metrics: Mapping[str, float | None], folder: Path, command: str = "lightning", console: Console | None = None
) -> None:
    """Print the main metrics and the files of a run.

    Args:
        metrics: As in `test_metrics.json`; None where a metric does not exist.
        folder: The run's.
        command: How the command was called.
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
        line = f"  {command} predict --ckpt_path {best} --data.source new.csv --output predictions.csv"
        console.print(line, soft_wrap=True, highlight=False)
