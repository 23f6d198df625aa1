"""Time of a recluster before each epoch, as a share of the training time of the epoch, for several settings.

Without `--data.source` the bundled drugs are used, on which an epoch takes a second. Arguments after `--` are options
of `lightning fit`.

    python -m benchmarks.recluster [--epochs 4] [--json FILE] [-- --config data/uspto_50k.yaml --data.source FILE]
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import lightning
import torch

from benchmarks.measuring import describe_machine, print_table, write_json
from workflows.fit_cli import FitCLI

THREADS = 2
SETTINGS: dict[str, tuple[str, ...]] = {
    f"{method}, {embeddings}{', 500 a class' if sample else ''}": (
        f"--recluster.method={method}",
        f"--recluster.embeddings={embeddings}",
        f"--recluster.sample_per_class={sample or 'null'}",
    )
    for sample in (None, 500)
    for method in ("bounded", "kmeans")
    for embeddings in ("running", "fresh")
} | {
    f"{difficulty}, bounded, running": ("--recluster.embeddings=running", f"--recluster.difficulty={difficulty}")
    for difficulty in ("neighbors", "spread", "confusion")
}


class Clock(lightning.Callback):
    """Records the seconds of each epoch, from after the recluster to after the last batch."""

    def __init__(self) -> None:
        """Create an empty record."""
        self.seconds: list[float] = []
        self._start = 0.0

    def on_train_epoch_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Start timing; the recluster, an earlier callback, has ended."""
        self._start = time.perf_counter()

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Record an epoch."""
        self.seconds.append(time.perf_counter() - self._start)


class Reclusters(lightning.pytorch.loggers.logger.DummyLogger):
    """Records the logged seconds of each recluster."""

    def __init__(self) -> None:
        """Create an empty record."""
        super().__init__()
        self.seconds: list[float] = []

    def log_metrics(self, metrics: dict[str, Any], *args: object, **kwargs: object) -> None:
        """Record the seconds of a recluster."""
        if "recluster/seconds" in metrics:
            self.seconds.append(metrics["recluster/seconds"])


def measure(arguments: list[str], epochs: int) -> tuple[float, float]:
    """Median seconds of training in an epoch and of the recluster before it, without the first of each."""
    with tempfile.TemporaryDirectory() as folder:
        schedule = ("--recluster.start_epoch=0", "--recluster.every_n_epochs=1", f"--trainer.max_epochs={epochs + 1}")
        quiet = ("--tracking.wandb=disabled", "--trainer.enable_progress_bar=false", f"--run.root={folder}")
        cli = FitCLI([*arguments, *schedule, *quiet])
        clock, reclusters = Clock(), Reclusters()
        cli.trainer.callbacks.append(clock)  # type: ignore[attr-defined]
        cli.trainer.loggers = [reclusters]
        cli.trainer.fit(cli.model, datamodule=cli.datamodule)
        return statistics.median(clock.seconds[1:]), statistics.median(reclusters.seconds[1:])


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=4, help="measured epochs, default 4")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    place = sys.argv.index("--") if "--" in sys.argv else len(sys.argv)
    options, arguments = parser.parse_args(sys.argv[1:place]), sys.argv[place + 1 :]
    torch.set_num_threads(THREADS)
    rows, figures = [], {}
    for name, settings in SETTINGS.items():
        epoch, recluster = measure([*arguments, *settings], options.epochs)
        figures[name] = recluster / epoch
        rows.append([name, f"{epoch:.2f}", f"{recluster:.3f}", f"{recluster / epoch:.1%}"])
        print(" ".join(rows[-1]), flush=True)
    print_table(["setting", "epoch, s", "recluster, s", "share"], rows)
    print(describe_machine(THREADS))
    write_json(figures, options.json)


if __name__ == "__main__":
    main()
