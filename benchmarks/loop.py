"""Time of a training step outside of forward, backward and optimizer, and what it is spent on.

The default method before its first recluster, on random spellings of the bundled drugs (graph and fingerprint), with
the data module, callbacks and loggers of `lightning fit` and a progress line that is rendered but not shown. The
encoder is a single linear layer, so that a step is hardly more than its overhead. Times are medians over the steps of
all epochs but the first, without the last step of each epoch, which is followed by the validation.

    OMP_NUM_THREADS=1 python -m benchmarks.loop [--batch_sizes 256 1024] [--steps 200] [--json FILE]
"""

from __future__ import annotations

import argparse
import io
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast
from unittest.mock import patch

import lightning
import polars
import torch
from lightning.pytorch.profilers import Profiler
from rich.console import Console
from torch import Tensor, nn

from benchmarks.measuring import class_of, describe_machine, print_table, read_smiles, write_json
from callbacks.training_progress import TrainingProgress
from datamodules.batch import Batch
from datamodules.drug_task import DrugTask
from modules.drug_classifier import DrugClassifier
from modules.encoders import Encoder
from modules.seeding import step_seed
from workflows.fit_cli import FitCLI
from workflows.terminal import quiet_lightning

T = TypeVar("T")

MOLECULES, WARMUP_EPOCHS = 20_000, 1
COMPUTE = ("forward", "backward", "optimizer")
OVERHEAD = ("loader", "views", "seeding", "callbacks", "logging", "progress", "Lightning")
HOOKS = ("on_train_batch_start", "on_before_backward", "on_after_backward", "on_before_optimizer_step")
ACTIONS = {
    "[_TrainingEpochLoop].train_dataloader_next": "loader",
    "[Strategy]SingleDeviceStrategy.batch_to_device": "loader",
}


class AtomCounts(Encoder):
    """A linear layer on the number of atoms, the cheapest encoder of molecules."""

    def build(self, task: DrugTask) -> None:
        """Create the layer."""
        self.output_dim = 64
        self.layer = nn.Linear(1, self.output_dim)

    def forward(self, batch: Batch) -> Tensor:
        """See `Encoder.forward`."""
        assert batch.molecules is not None
        embeddings: Tensor = self.layer(batch.molecules.atoms_per_molecule.float().unsqueeze(1).log())
        return embeddings


class Stopwatch:
    """Seconds of each part of each step; a part does not count the parts within it.

    Attributes:
        steps: Seconds by part, of each step.
    """

    def __init__(self) -> None:
        """Start with the part that counts everything else."""
        self.steps: list[dict[str, float]] = []
        self._within = ["Lightning"]
        self._last = time.perf_counter()

    def next_step(self) -> None:
        """Begin a step."""
        self._count()
        self.steps.append(defaultdict(float))

    def enter(self, part: str) -> None:
        """Begin a part."""
        self._count()
        self._within.append(part)

    def leave(self) -> None:
        """End a part."""
        self._count()
        self._within.pop()

    def timed(self, part: str, function: Callable[..., T]) -> Callable[..., T]:
        """The function, whose calls count as a part."""

        def call(*arguments: Any, **options: Any) -> T:
            self.enter(part)
            try:
                return function(*arguments, **options)
            finally:
                self.leave()

        return call

    def _count(self) -> None:
        now = time.perf_counter()
        if self.steps:
            self.steps[-1][self._within[-1]] += now - self._last
        self._last = now


class LoaderTime(Profiler):
    """Counts what Lightning calls the loading and moving of a batch."""

    def __init__(self, watch: Stopwatch) -> None:
        """Count into a stopwatch."""
        super().__init__()
        self._watch = watch

    def start(self, action_name: str) -> None:
        """Begin an action."""
        if action_name in ACTIONS:
            if action_name.endswith("next"):
                self._watch.next_step()
            self._watch.enter(ACTIONS[action_name])

    def stop(self, action_name: str) -> None:
        """End an action."""
        if action_name in ACTIONS:
            self._watch.leave()


class StepTimes(lightning.Callback):
    """Wraps what is called in each step, and notes which steps count."""

    def __init__(self, watch: Stopwatch) -> None:
        """Count into a stopwatch."""
        self._watch = watch
        self.counted: list[int] = []

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Wrap the methods of model and callbacks."""
        model, timed = cast(DrugClassifier, pl_module), self._watch.timed
        objective = model.objective
        for owner, name, part in (
            (objective, "forward", "forward"),
            (objective, "views", "views"),
            (model, "backward", "backward"),
            (model, "optimizer_zero_grad", "optimizer"),
            (model, "on_train_batch_start", "seeding"),
            (model.losses, "add", "logging"),
        ):
            setattr(owner, name, timed(part, getattr(owner, name)))
        for callback in trainer.callbacks:  # type: ignore[attr-defined]
            part = "progress" if isinstance(callback, TrainingProgress) else "callbacks"
            for name in (*HOOKS, "on_train_batch_end"):
                if callback is not self and getattr(type(callback), name) is not getattr(lightning.Callback, name):
                    setattr(callback, name, timed(part, getattr(callback, name)))
        trainer.optimizers[0].register_step_post_hook(lambda *_: self._watch.leave())

    def on_before_optimizer_step(self, *arguments: Any) -> None:
        """Begin the optimizer, after the closure with forward and backward."""
        self._watch.enter("optimizer")

    def on_train_batch_end(self, trainer: lightning.Trainer, *arguments: Any) -> None:
        """Note whether this step counts."""
        if trainer.current_epoch >= WARMUP_EPOCHS and not trainer.is_last_batch:
            self.counted.append(len(self._watch.steps) - 1)


def measure(table: Path, folder: Path, batch_size: int, steps: int) -> list[dict[str, float]]:
    """Seconds of the parts of each step at a batch size."""
    epochs = WARMUP_EPOCHS + -(-steps // (MOLECULES * 7 // 10 // batch_size))
    settings = {
        "data.source": table,
        "data.cache_folder": folder,
        "data.batch_size": batch_size,
        "model.encoder": "benchmarks.loop.AtomCounts",
        "recluster.start_epoch": "null",
        "run.root": folder,
        "tracking.wandb": "offline",
        "trainer.max_epochs": epochs,
        "trainer.limit_val_batches": 1,
    }
    words = ["--config", "method/default.yaml", *(f"--{name}={value}" for name, value in settings.items())]
    watch = Stopwatch()
    times = StepTimes(watch)
    with quiet_lightning(), patch("modules.drug_classifier.step_seed", watch.timed("seeding", step_seed)):
        cli = FitCLI(words)
        callbacks = [one for one in cli.trainer.callbacks if not isinstance(one, TrainingProgress)]  # type: ignore[attr-defined]
        progress = TrainingProgress(Console(file=io.StringIO(), force_terminal=True, width=120))
        cli.trainer.callbacks = [*callbacks, progress, times]  # type: ignore[attr-defined]
        cli.trainer.profiler = LoaderTime(watch)  # type: ignore[attr-defined]
        cli.trainer.fit(cli.model, datamodule=cli.datamodule)
    return [watch.steps[place] for place in times.counted]


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch_sizes", type=int, nargs="+", default=[256, 1024])
    parser.add_argument("--steps", type=int, default=200, help="measured steps of each batch size, default 200")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    arguments = parser.parse_args()
    figures: dict[str, float] = {}
    columns = []
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder) / "table.csv"
        smiles = read_smiles(None, None, MOLECULES)
        polars.DataFrame({"smiles": smiles, "label": map(class_of, smiles)}).write_csv(table)
        for size in arguments.batch_sizes:
            steps = measure(table, Path(folder), size, arguments.steps)
            sums = {"outside": [sum(time for part, time in step.items() if part not in COMPUTE) for step in steps]}
            parts = {part: [step.get(part, 0.0) for step in steps] for part in (*OVERHEAD, *COMPUTE)}
            medians = {part: 1e3 * statistics.median(times) for part, times in (parts | sums).items()}
            figures |= {f"loop_{part.lower()}_ms_at_{size}": value for part, value in medians.items()}
            columns.append(medians)
    rows = [[part, *(f"{column[part]:.2f}" for column in columns)] for part in (*OVERHEAD, "outside", *COMPUTE)]
    print_table(["ms of a step", *(f"batch {size:,}" for size in arguments.batch_sizes)], rows)
    print(describe_machine(torch.get_num_threads()))
    write_json(figures, arguments.json)


if __name__ == "__main__":
    main()
