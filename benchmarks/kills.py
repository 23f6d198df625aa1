"""Kills runs at random moments, resumes them, and compares them with a run that was not killed.

Each run trains for some seconds and writes a checkpoint at every second step. Every other run has its folder for
temporary files on another file system than the run's. The exit status is 1 if a run that had a checkpoint does not
resume to the same test metrics, or if a file is damaged.

    python -m benchmarks.kills [--kills 50] [--folder FOLDER] [--other /dev/shm]
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy
import torch
import yaml

from benchmarks.measuring import describe_machine, print_table

OPTIONS = (
    "--config=encoder/fingerprint.yaml",
    "--data.fingerprint_size=256",
    "--data.batch_size=32",
    "--checkpoint_every_n_steps=2",
    "--recluster.start_epoch=1",
    "--recluster.every_n_epochs=1",
    "--trainer.accelerator=cpu",
    "--trainer.enable_progress_bar=false",
    "--tracking.wandb=disabled",
    "--report=false",
)
EPOCHS = 5
TOLERANCE = 1e-6
_NAME = "inn_stems/version_0"
_TIMEOUT_SECONDS = 300


@dataclass(frozen=True)
class Whole:
    """A run that was not killed.

    Attributes:
        metrics: Test metrics.
        seconds: From the first file of the run to its end.
        epochs: Number of epochs.
    """

    metrics: dict[str, float | None]
    seconds: float
    epochs: int


@dataclass(frozen=True)
class Kill:
    """What came of a run that was killed.

    Attributes:
        moment: Seconds from the first file of the run, or from what else was waited for, to the kill.
        had_checkpoint: Whether `last.ckpt` was there.
        resumed: Whether the run resumed without an error; None without a checkpoint.
        difference: The largest difference of a test metric; None if the run has none.
        damaged: Files that cannot be read, or that were left over, after the kill or after the end.
    """

    moment: float
    had_checkpoint: bool
    resumed: bool | None
    difference: float | None
    damaged: tuple[str, ...]

    @property
    def is_equal(self) -> bool:
        """Whether the resumed run has the test metrics of the run that was not killed."""
        return self.difference is not None and self.difference <= TOLERANCE

    @property
    def survived(self) -> bool:
        """Whether the run lost nothing that was on the disk."""
        return not self.damaged and (self.is_equal or not self.had_checkpoint)


def run_whole(folder: Path, epochs: int = EPOCHS) -> Whole:
    """Train without a kill.

    Args:
        folder: An empty folder.
        epochs: Number of epochs.
    """
    with _start(folder, folder, *_fit(epochs)) as process:
        start = _wait(process, folder / _NAME, has_settings)
        status = process.wait(_TIMEOUT_SECONDS)
    if status:
        raise RuntimeError(f"The run ended with status {status}: {(folder / 'log.txt').read_text()}")
    return Whole(_metrics(folder / _NAME), time.monotonic() - start, epochs)


def has_settings(run: Path) -> bool:
    """Whether a run has written its first file.

    Args:
        run: Folder of the run.
    """
    return (run / "config.yaml").is_file()


def kill_run(
    folder: Path, temporary: Path, moment: float, whole: Whole, after: Callable[[Path], bool] = has_settings
) -> Kill:
    """Train, kill the run, and resume it if it has a checkpoint.

    Args:
        folder: An empty folder.
        temporary: Folder for temporary files.
        moment: Seconds from when `after` is true to the kill.
        whole: The run to compare with.
        after: What is waited for, asked about the folder of the run.
    """
    run = folder / _NAME
    with _start(folder, temporary, *_fit(whole.epochs)) as process:
        start = _wait(process, run, after)
        time.sleep(max(0.0, start + moment - time.monotonic()))
        process.send_signal(signal.SIGKILL)
    last = run / "checkpoints/last.ckpt"
    found = list(damaged_files(run))
    if not last.is_file():
        return Kill(moment, False, None, None, tuple(found))
    with _start(folder, temporary, "fit", "--ckpt_path", str(last)) as process:
        resumed = process.wait(_TIMEOUT_SECONDS) == 0
    found += [*damaged_files(run), *left_over(run)]
    return Kill(moment, True, resumed, _difference(run, whole) if resumed else None, tuple(found))


def damaged_files(run: Path) -> Iterator[str]:
    """Find the files of a run that cannot be read.

    Args:
        run: Folder of the run.
    """
    for path in sorted(path for path in run.rglob("*") if path.is_file() and not path.name.startswith(".")):
        try:
            _READERS[path.suffix](path)
        except Exception as error:
            yield f"{path.relative_to(run)} ({type(error).__name__})"


def left_over(run: Path) -> list[str]:
    """Find the temporary files of a run.

    Args:
        run: Folder of the run.
    """
    return sorted(str(path.relative_to(run)) for path in run.rglob(".*"))


def _read_table(path: Path) -> None:
    with path.open(newline="") as file:
        text = file.read()
    lengths = {len(row) for row in csv.reader(text.splitlines(), strict=True)}
    if len(lengths) != 1 or not text.endswith("\n"):
        raise ValueError("expected rows of equal length")


def _read_arrays(path: Path) -> None:
    with path.open("rb") as file, numpy.load(file) as arrays:
        for name in arrays:
            arrays[name]


_READERS: dict[str, Callable[[Path], Any]] = {
    ".ckpt": lambda path: torch.load(path, weights_only=True),
    ".csv": _read_table,
    ".json": lambda path: json.loads(path.read_text()),
    ".npz": _read_arrays,
    # A model card is Markdown behind its metadata.
    ".md": lambda path: yaml.safe_load(path.read_text().split("---\n")[1])["model-index"],
    ".yaml": lambda path: yaml.safe_load(path.read_text())["trainer"],
}


def _fit(epochs: int) -> tuple[str, ...]:
    return ("fit", *OPTIONS, f"--trainer.max_epochs={epochs}")


def _start(folder: Path, temporary: Path, *arguments: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "lightning_app.cli", *arguments]
    root = str(Path(__file__).parents[1])
    places = {"PYTHONPATH": root, "TMPDIR": str(temporary), "TAILMOL_CACHE": str(folder.parent / "cache")}
    variables = {**os.environ, **places, "OMP_NUM_THREADS": "1"}
    if "--ckpt_path" not in arguments:
        command += ["--run.root", str(folder)]
    with (folder / "log.txt").open("ab") as log:
        return subprocess.Popen(command, cwd=folder, env=variables, stdout=log, stderr=log)


def _wait(process: subprocess.Popen[bytes], run: Path, after: Callable[[Path], bool]) -> float:
    """Wait until something is true of the folder of a run; returns the time."""
    while not after(run):
        # The last thing that a run writes may be what is waited for.
        if process.poll() is not None and not after(run):
            raise RuntimeError(f"The run in {run} ended with status {process.returncode} too early.")
        time.sleep(0.005)
    return time.monotonic()


def _metrics(run: Path) -> dict[str, float | None]:
    metrics: dict[str, float | None] = json.loads((run / "test_metrics.json").read_text())
    return metrics


def _difference(run: Path, whole: Whole) -> float:
    found = _metrics(run)
    if {name for name in found if found[name] is None} != {
        name for name in whole.metrics if whole.metrics[name] is None
    }:
        return float("inf")
    return max(abs((found[name] or 0) - (whole.metrics[name] or 0)) for name in whole.metrics)


def main() -> None:
    """Kill runs and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--folder", type=Path, help="an existing folder on a disk (default: that for temporary files)")
    parser.add_argument("--other", type=Path, default=Path("/dev/shm"), help="a folder on another file system")
    parser.add_argument("--seed", type=int, default=0, help="random seed of the moments")
    arguments = parser.parse_args()
    print(describe_machine(1))
    print_table(["killed after (s)", "file systems", "checkpoint", "resumed", "metrics", "damaged files"], [])
    generator, lost = random.Random(arguments.seed), 0
    with (
        tempfile.TemporaryDirectory(dir=arguments.folder) as place,
        tempfile.TemporaryDirectory(dir=arguments.other) as other,
    ):
        (folder := Path(place) / "whole").mkdir()
        whole = run_whole(folder)
        for number in range(arguments.kills):
            (folder := Path(place) / f"kill_{number}").mkdir()
            kill = kill_run(folder, Path(other) if number % 2 else folder, generator.random() * whole.seconds, whole)
            lost += not kill.survived
            print("| " + " | ".join(_row(kill, "two" if number % 2 else "one")) + " |", flush=True)
    print(f"\n{arguments.kills} runs of {whole.seconds:.1f} s were killed; {lost} lost something.")
    sys.exit(1 if lost else 0)


def _row(kill: Kill, file_systems: str) -> list[str]:
    damaged = ", ".join(kill.damaged) or "none"
    moment = f"{kill.moment:.2f}"
    if not kill.had_checkpoint:
        return [moment, file_systems, "none yet", "", "", damaged]
    metrics = "none" if kill.difference is None else "equal" if kill.is_equal else f"differ by {kill.difference:.1e}"
    return [moment, file_systems, "yes", "yes" if kill.resumed else "no", metrics, damaged]


if __name__ == "__main__":
    main()
