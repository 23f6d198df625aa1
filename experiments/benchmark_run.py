"""One cell of a benchmark: a `lightning fit` in a process of its own."""

from __future__ import annotations

import ctypes
import json
import math
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from experiments.benchmark_plan import Cell

HEARTBEAT_SECONDS = 5
_POLL_SECONDS = 0.2


class CellFailedError(Exception):
    """A run of a cell ended without metrics; the message says why."""


def run_cell(cell: Cell, run: Path, beat: Callable[[], None]) -> dict[str, Any]:
    """Run a cell and wait for it.

    What it printed is in `log.txt` of its folder. Checkpoints are deleted when it has ended.

    Args:
        cell: What to run.
        run: A folder that is not there yet.
        beat: Called every few seconds while the run goes on.

    Returns:
        The test metrics by name, `seconds`, `peak_megabytes` of the process, `train_samples` and `test_samples`.

    Raises:
        CellFailedError: If the process failed, wrote no metrics, or its balanced accuracy is undefined.
    """
    run.mkdir(parents=True)
    words = shlex.split(os.path.expandvars(cell.arguments))
    own = ["--run.root", str(run.parent), "--run.name", run.name, "--run.version", "fit"]
    quiet = ["--trainer.enable_progress_bar", "false", "--tracking.wandb", "disabled", "--report", "false"]
    command = [sys.executable, "-m", "lightning_app.cli", "fit", *words, *own, *quiet]
    started = time.monotonic()
    with (run / "log.txt").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, preexec_fn=_end_with_parent)
        try:
            status, usage = _wait(process.pid, beat)
        except BaseException:
            process.kill()
            process.wait()
            raise
    seconds = time.monotonic() - started
    shutil.rmtree(run / "fit" / "checkpoints", ignore_errors=True)
    if status != 0:
        raise CellFailedError(_reason(run / "log.txt", status))
    return {**_metrics(run / "fit"), "seconds": round(seconds, 1), "peak_megabytes": round(usage.ru_maxrss / 1024)}


def _end_with_parent() -> None:
    """A worker that is killed must not leave its run behind; only Linux can promise that."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def _wait(process: int, beat: Callable[[], None]) -> tuple[int, Any]:
    """Exit status and resources of a child."""
    last = time.monotonic()
    while True:
        ended, status, usage = os.wait4(process, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status), usage
        if time.monotonic() - last > HEARTBEAT_SECONDS:
            beat()
            last = time.monotonic()
        time.sleep(_POLL_SECONDS)


def _metrics(folder: Path) -> dict[str, Any]:
    import polars

    try:
        metrics = json.loads((folder / "test_metrics.json").read_text())
        splits = polars.read_csv(folder / "splits.csv")["split"]
    except (OSError, ValueError, polars.exceptions.PolarsError) as error:
        raise CellFailedError(f"the run wrote no metrics ({error})") from error
    values = {name.removeprefix("test/"): value for name, value in metrics.items() if "/recall/" not in name}
    accuracy = values.get("balanced_accuracy")
    if accuracy is None or not math.isfinite(accuracy):
        raise CellFailedError(f"the run has no balanced accuracy but {accuracy}")
    return {**values, "train_samples": int((splits == "train").sum()), "test_samples": int((splits == "test").sum())}


def _reason(log: Path, status: int) -> str:
    """The sentence that the command ended with, else its last line."""
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    complaints = [line for line in lines if line.startswith("lightning: error: ")]
    last = (complaints or lines or ["it printed nothing"])[-1]
    return f"exit status {status}: {last.removeprefix('lightning: error: ')}"
