"""Time and memory of preparing a table and of training on it, as the table grows.

For each size, each in its own process: `setup` on an empty cache, with the total memory of its processes and the size
of the cache on disk; then, with the cache filled, the time from `setup` to the first training batch; then `lightning
fit` with the default settings for 200 steps on the same features (Morgan fingerprints), with its peak resident memory,
which includes mapped features that were read. Times do not include imports. 1 GB is 1e9 bytes.

    python -m benchmarks.memory [--table FILE --column X] [--sizes 10000 100000 1000000] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import psutil  # type: ignore[import-untyped]

from benchmarks.measuring import CHECKOUT, describe_machine, print_table, write_json

FIGURES = {
    "prepare_{}_seconds": "prepare, s",
    "prepare_{}_peak_gb": "its peak, GB",
    "prepare_{}_disk_gb": "its cache, GB",
    "first_batch_{}_seconds": "to the first batch, s",
    "train_{}_peak_gb": "training's peak, GB",
}
STEPS = {"max_epochs": 1, "limit_train_batches": 200, "limit_val_batches": 5, "limit_test_batches": 5}
SECONDS_BETWEEN_SAMPLES = 0.1
LARGEST_SHARE_OF_SAMPLING = 0.05


@dataclass(frozen=True)
class Run:
    """A command that has ended.

    Attributes:
        output: Its standard output.
        resident_gb: Largest resident memory of the command or of one of its processes, in GB.
        together_gb: Largest sampled memory of all its processes, with shared pages counted once, in GB.
    """

    output: str
    resident_gb: float
    together_gb: float


def run(arguments: Sequence[str], folder: Path) -> Run:
    """Run a module of this project and sample its memory.

    Args:
        arguments: Module and arguments, as after `python -m`.
        folder: Folder of its output.
    """
    output, errors = folder / "output.txt", folder / "errors.txt"
    together = 0
    with output.open("w") as out, errors.open("w") as err:
        process = subprocess.Popen([sys.executable, "-m", *arguments], cwd=CHECKOUT, stdout=out, stderr=err)
    ended = 0
    while not ended:
        start = time.perf_counter()
        together = max(together, _memory_of(process.pid))
        time.sleep(max(SECONDS_BETWEEN_SAMPLES, (time.perf_counter() - start) / LARGEST_SHARE_OF_SAMPLING))
        ended, status, usage = os.wait4(process.pid, os.WNOHANG)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{errors.read_text()}{' '.join(arguments)} failed with status {process.returncode}.")
    return Run(output.read_text(), usage.ru_maxrss * 1024 / 1e9, together / 1e9)


def _memory_of(number: int) -> int:
    total = 0
    with suppress(psutil.Error):
        process = psutil.Process(number)
        for member in [process, *process.children(recursive=True)]:
            with suppress(psutil.Error):
                total += member.memory_full_info().pss
    return total


def measure(table: Path, size: int, folder: Path, repeats: int) -> dict[str, float]:
    """Measure time and memory of one table.

    Args:
        table: A table with the columns smiles and label.
        size: Its number of rows, part of the names of the figures.
        folder: An empty working folder.
        repeats: Number of times that the first batch is timed.
    """
    place = [str(table), str(folder / "cache")]
    prepared = run(["benchmarks.memory_stages", "prepare", *place], folder)
    on_disk = sum(file.stat().st_size for file in Path(place[1]).rglob("*") if file.is_file())
    opened = [run(["benchmarks.memory_stages", "first_batch", *place], folder) for _ in range(repeats)]
    command = ["lightning_app.cli", "fit", "--data.source", place[0], "--data.cache_folder", place[1]]
    command += ["--data.fingerprint_kinds", "[morgan]", "--run.root", str(folder / "runs")]
    command += ["--tracking.wandb", "disabled", "--recluster.start_epoch", "null"]
    settings = [f"--trainer.{name}={value}" for name, value in (STEPS | {"enable_progress_bar": False}).items()]
    trained = run(command + settings, folder)
    values = (
        json.loads(prepared.output),
        prepared.together_gb,
        on_disk / 1e9,
        statistics.median(json.loads(one.output) for one in opened),
        trained.resident_gb,
    )
    return {name.format(size): value for name, value in zip(FIGURES, values, strict=True)}


def growth_row(figures: dict[str, float], smaller: int, larger: int) -> list[str]:
    """The exponent with which each figure grows with the number of rows; 1 is linear growth."""
    row = [f"exponent, {smaller:,} to {larger:,}"]
    for name in FIGURES:
        growth = figures[name.format(larger)] / figures[name.format(smaller)]
        row.append(f"{math.log(growth) / math.log(larger / smaller):.2f}")
    return row


def main() -> None:
    """Measure each size and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", type=Path, help="a table whose first rows are taken instead of the bundled drugs")
    parser.add_argument("--column", help="its SMILES column (default: smiles)")
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--repeats", type=int, default=3, help="measurements of the time to the first batch, default 3")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    options = parser.parse_args()
    sizes = sorted(options.sizes)
    figures: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        given = ["--table", str(options.table.resolve())] if options.table else []
        given += ["--column", options.column] if options.column else []
        run(["benchmarks.memory_stages", "write", str(folder), *map(str, sizes), *given], folder)
        for size in sizes:
            with tempfile.TemporaryDirectory(dir=folder) as work:
                figures |= measure(folder / f"{size}.csv", size, Path(work), options.repeats)
    rows = [[f"{size:,}", *(f"{figures[name.format(size)]:.2f}" for name in FIGURES)] for size in sizes]
    rows += [growth_row(figures, *pair) for pair in pairwise(sizes)]
    print_table(["molecules", *FIGURES.values()], rows)
    print(describe_machine(len(os.sched_getaffinity(0))))
    figures["first_batch_seconds"] = figures[f"first_batch_{sizes[-1]}_seconds"]
    if 1_000_000 in sizes:
        figures["prepare_1m_seconds"] = figures["prepare_1000000_seconds"]
        figures["train_1m_peak_gb"] = figures["train_1000000_peak_gb"]
    write_json(figures, options.json)


if __name__ == "__main__":
    main()
