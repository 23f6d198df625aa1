"""Training of a made table on a GPU: time and kernel time of a step, what the host does meanwhile, and prediction."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning
import numpy
import torch

from benchmarks.gpu_report import Report, synchronize
from benchmarks.gpu_step import kernel_rows

ROWS, WINDOW_FROM, LARGEST_WINDOW, PROFILED_STEPS = 100_000, 6, 100, 20
ENCODERS = {
    "gin_300x5": [
        "--model.encoder=modules.encoders.GIN",
        "--model.encoder.hidden_dim=300",
        "--model.encoder.num_layers=5",
        "--data.batch_size=1024",
        "--trainer.precision=bf16-mixed",
    ],
    "default": [],
}


class StepWatch(lightning.Callback):
    """Times steps of the second epoch, and profiles steps of the third; the first one warms up."""

    def __init__(self, device: str) -> None:
        """Create the callback.

        Args:
            device: Type of the device.
        """
        self.device = device
        self.profiler: Any = None
        self.host_seconds = self.started = self.first = 0.0
        self.figures: dict[str, Any] = {}

    def on_train_start(self, trainer: Any, module: Any) -> None:
        """Begin to time the first epoch."""
        self.first = time.perf_counter()

    def on_train_batch_start(self, trainer: Any, module: Any, batch: Any, number: int) -> None:
        """Begin a window, or a step of it."""
        self.last = min(WINDOW_FROM + LARGEST_WINDOW, trainer.num_training_batches - 1)
        if trainer.current_epoch == 0 and number == WINDOW_FROM:
            self.figures["warm_up_seconds"] = time.perf_counter() - self.first
        if trainer.current_epoch == 1 and number == WINDOW_FROM:
            synchronize(self.device)
            self.started, self.host_seconds = time.perf_counter(), 0.0
        if trainer.current_epoch == 2 and number == WINDOW_FROM:
            synchronize(self.device)
            self._profile()
        self.step_started = time.perf_counter()

    def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any, batch: Any, number: int) -> None:
        """End a step, or a window."""
        self.host_seconds += time.perf_counter() - self.step_started
        if trainer.current_epoch == 1 and number == self.last - 1:
            steps = number - WINDOW_FROM + 1
            synchronize(self.device)
            self.figures["step_ms"] = 1_000 * (time.perf_counter() - self.started) / steps
            self.figures["host_in_step_ms"] = 1_000 * self.host_seconds / steps
            self.figures["samples_per_second"] = 1_000 * len(batch) / self.figures["step_ms"]
        if trainer.current_epoch == 2 and number == min(WINDOW_FROM + PROFILED_STEPS, self.last) - 1:
            synchronize(self.device)
            self.profiler.__exit__(None, None, None)
            self._read(number - WINDOW_FROM + 1)
            trainer.should_stop = True

    def _profile(self) -> None:
        from torch.profiler import ProfilerActivity, profile

        activities = [ProfilerActivity.CPU] + ([ProfilerActivity.CUDA] if self.device == "cuda" else [])
        self.profiler = profile(activities=activities)
        self.profiler.__enter__()

    def _read(self, steps: int) -> None:
        rows = kernel_rows(self.profiler, self.device, steps)
        kernel_ms = sum(row[1] for row in rows) / 1_000
        self.figures |= {"kernel_ms": kernel_ms, "busy_share": kernel_ms / self.figures["step_ms"]}
        self.figures["kernels"] = rows[:12]
        counts = {str(event.key): event.count / steps for event in self.profiler.key_averages()}
        waits = {name: count for name, count in counts.items() if "Synchronize" in name or name == "aten::item"}
        self.figures["waits_per_step"] = waits


def fit(report: Report) -> None:
    """Train each encoder on the table, then predict with it."""
    cores = len(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ.setdefault("WANDB_MODE", "disabled")
        from benchmarks.memory_stages import write

        rows = ROWS if report.device == "cuda" else 3_000
        start = time.perf_counter()
        write(folder, [rows], None, None)
        report.add("fit", "make_table_seconds", time.perf_counter() - start)
        report.add("fit", "cores", cores)
        for encoder, options in ENCODERS.items():
            with report.guarded("fit", encoder):
                _train(report, encoder, folder, rows, options)


def _train(report: Report, name: str, folder: Path, rows: int, options: Sequence[str]) -> None:
    from modules.inference import infer
    from workflows.fit_cli import FitCLI

    trainer_options = {
        "accelerator": "gpu" if report.device == "cuda" else "cpu",
        "devices": 1,
        "max_epochs": 3,
        "enable_progress_bar": "false",
    }
    arguments = [f"--trainer.{key}={value}" for key, value in trainer_options.items()]
    arguments += [f"--data.source={folder / f'{rows}.csv'}", f"--data.cache_folder={folder / 'cache'}"]
    arguments += [f"--run.root={folder / 'runs'}", "--tracking.wandb=disabled", "--recluster.start_epoch=null"]
    start = time.perf_counter()
    cli = FitCLI([*arguments, *options])
    cli.datamodule.prepare_data()
    cli.datamodule.setup("fit")
    report.add("fit", f"{name}_setup_seconds", time.perf_counter() - start)
    watch = StepWatch(report.device)
    trainer: Any = cli.trainer
    # Without validation there is nothing to save or to stop at.
    trainer.limit_val_batches = 0
    kept = [one for one in trainer.callbacks if type(one).__module__ == "callbacks.matmul_precision"]
    trainer.callbacks = [*kept, watch]
    trainer.fit(cli.model, cli.datamodule)
    for key, value in watch.figures.items():
        report.add("fit", f"{name}_{key}", value)
    device = torch.device(report.device)
    model = cli.model.to(device)
    # The first pass warms up.
    for _ in range(2):
        synchronize(report.device)
        start = time.perf_counter()
        batches = cli.datamodule.batches_of(numpy.arange(min(rows, 50_000)))
        number = sum(len(batch) for batch, _ in infer(model, batches, device))
        synchronize(report.device)
    report.add("fit", f"{name}_predicted_per_second", number / (time.perf_counter() - start))
