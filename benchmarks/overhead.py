"""Cost of each part of the method relative to plain cross-entropy, from a thousand samples to a million.

Synthetic arrays of 64 features in 100 classes with an imbalance ratio of 100, a perceptron of 256 and 128 units, and
batches of 512. Each part is measured in its own process: the time of an epoch, from the median step, and of the
recluster before it; and the peak memory of the process beyond that of plain cross-entropy.

    python -m benchmarks.overhead [--sizes 1000 10000 100000 1000000] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import logging
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import lightning
import numpy
import torch

from benchmarks.measuring import describe_machine, print_table, write_json
from callbacks.recluster import Recluster
from datamodules.drug_datamodule import DrugDataModule
from modules.drug_classifier import DrugClassifier
from modules.encoders import ArrayMLP
from modules.losses import CrossEntropyLoss, SubclusterContrastiveLoss, SupervisedContrastiveLoss
from modules.training.contrast import Contrast

THREADS, CLASSES, FEATURES, BATCH, STEPS = 2, 100, 64, 512, 60
VIEWS = (0.15, 0.10)
RECLUSTER: dict[str, dict[str, Any]] = {
    "recluster, fresh": {"embeddings": "fresh"},
    "recluster, running": {"embeddings": "running"},
    "recluster, 500 a class": {"embeddings": "fresh", "sample_per_class": 500},
    "recluster, distances": {"embeddings": "running", "difficulty": "distance"},
}
PARTS = ("cross-entropy", "two views, supervised contrast", "sub-cluster contrast", *RECLUSTER)


def write_arrays(path: Path, size: int) -> None:
    """Write synthetic samples: the mean of their class plus noise."""
    generator = numpy.random.default_rng(0)
    shares = 100.0 ** -(numpy.arange(CLASSES) / (CLASSES - 1))
    labels = numpy.repeat(numpy.arange(CLASSES), numpy.maximum(4, (size * shares / shares.sum()).astype(int)))
    means = generator.normal(size=(CLASSES, FEATURES))
    features = (means[labels] + 2 * generator.normal(size=(len(labels), FEATURES))).astype(numpy.float32)
    numpy.savez(path, features=features, labels=labels)


class Steps(lightning.Callback):
    """Records the seconds of each training step, including the loading of its batch."""

    def __init__(self) -> None:
        """Create an empty record."""
        self.seconds: list[float] = []
        self._last = 0.0

    def on_train_epoch_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Start timing."""
        self._last = time.perf_counter()

    def on_train_batch_end(self, *arguments: Any) -> None:
        """Record a step."""
        now = time.perf_counter()
        self.seconds.append(now - self._last)
        self._last = now


class TimedRecluster(Recluster):
    """Records the seconds of each recluster."""

    seconds: list[float]

    def recluster(self, trainer: lightning.Trainer, model: DrugClassifier) -> None:
        """Recluster and record the seconds."""
        start = time.perf_counter()
        super().recluster(trainer, model)
        self.seconds = [*getattr(self, "seconds", []), time.perf_counter() - start]


def _contrast(clusters: bool) -> Contrast:
    """Contrast over sub-clusters after warm-up, or over classes."""
    if clusters:
        return Contrast(SubclusterContrastiveLoss(), SupervisedContrastiveLoss(), view_probabilities=VIEWS)
    return Contrast(SupervisedContrastiveLoss(), view_probabilities=VIEWS)


def measure(part: str, path: Path) -> dict[str, float]:
    """Seconds of an epoch and of a recluster, and peak megabytes, of one part."""
    torch.set_num_threads(THREADS)
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    contrast = part != "cross-entropy"
    clusters = part == "sub-cluster contrast" or part in RECLUSTER
    model = DrugClassifier(
        ArrayMLP([256, 128]),
        CrossEntropyLoss(),
        _contrast(clusters) if contrast else None,
    )
    steps, recluster = Steps(), TimedRecluster(1 if clusters else None, 1, **RECLUSTER.get(part, {}))
    data = DrugDataModule(str(path), batch_size=BATCH, split_fractions=(0.98, 0.01, 0.01))
    trainer = lightning.Trainer(
        max_epochs=3,
        limit_train_batches=None if part in ("recluster, running", "recluster, distances") else STEPS,
        limit_val_batches=0,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        accelerator="cpu",
        callbacks=[recluster, steps],
        default_root_dir=path.parent,
    )
    trainer.fit(model, datamodule=data)
    batches = -(-len(data.records.rows["train"]) // BATCH)
    later = steps.seconds[len(steps.seconds) // 3 :]
    return {
        "epoch_seconds": statistics.median(later) * batches,
        "recluster_seconds": statistics.median(getattr(recluster, "seconds", [0.0])),
        "megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def main() -> None:
    """Measure each part at each size and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1_000, 10_000, 100_000, 1_000_000])
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    parser.add_argument("--part", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.part:
        print(json.dumps(measure(arguments.part[0], Path(arguments.part[1]))))
        return
    print(describe_machine(THREADS))
    figures: dict[str, dict[str, float]] = {}
    for size in arguments.sizes:
        rows = []
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "arrays.npz"
            write_arrays(path, size)
            for part in PARTS:
                command = [sys.executable, "-m", "benchmarks.overhead", "--part", part, str(path)]
                done = subprocess.run(command, check=True, capture_output=True, text=True)
                values = json.loads(done.stdout.splitlines()[-1])
                figures[f"{part}, {size}"] = values
                plain = figures[f"cross-entropy, {size}"]
                share = (values["epoch_seconds"] + values["recluster_seconds"]) / plain["epoch_seconds"]
                more = values["megabytes"] - plain["megabytes"]
                shown = f"{values['epoch_seconds']:.2f}", f"{values['recluster_seconds']:.2f}"
                rows.append([part, *shown, f"{share:.2f}", f"{more:+.0f}"])
        print(f"\n{size:,} samples")
        print_table(["part", "epoch (s)", "recluster (s)", "relative time", "additional MB"], rows)
    flat = {f"{name}, {what}": value for name, values in figures.items() for what, value in values.items()}
    write_json(flat, arguments.json)


if __name__ == "__main__":
    main()
