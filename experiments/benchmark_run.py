"""One cell of a benchmark, run as a separate process."""

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
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from experiments.benchmark_plan import Cell
from modules.run_layout import CHECKPOINTS, TEST_METRICS

HEARTBEAT_SECONDS = 5
_POLL_SECONDS = 0.2


class CellFailedError(Exception):
    """A cell ended without metrics; the message is the reason."""


class RunCell(Protocol):
    """Runs one cell and returns its results; see `CellProcess`."""

    def __call__(self, cell: Cell, folder: Path, beat: Callable[[], None]) -> dict[str, Any]:
        """Run a cell in a new folder and call `beat` every few seconds while it runs."""
        ...


@dataclass(frozen=True)
class CellProcess:
    """Runs cells with a training command.

    Attributes:
        command: The command line of `lightning fit`, without options.
        group: Group of the runs in W&B, which are logged there only if the arguments of a cell ask for it.
    """

    command: Sequence[str]
    group: str

    def __call__(self, cell: Cell, folder: Path, beat: Callable[[], None]) -> dict[str, Any]:
        """Run a cell and wait for its end.

        The output of the process is written to `log.txt` in the folder. Checkpoints are deleted afterwards.

        Args:
            cell: The cell to run.
            folder: A folder that does not exist yet.
            beat: Called every `HEARTBEAT_SECONDS` while the process runs.

        Returns:
            The test metrics by name, `seconds`, `peak_megabytes` of the process, `train_samples` and `test_samples`.

        Raises:
            CellFailedError: If the process failed, wrote no metrics or tested no row, or its balanced accuracy is
                undefined.
        """
        folder.mkdir(parents=True)
        words = shlex.split(os.path.expandvars(cell.arguments))
        place = ["--run.root", str(folder.parent), "--run.name", folder.name, "--run.version", "fit"]
        tracking = ["--tracking.wandb", "disabled", "--tracking.group", self.group]
        quiet = ["--trainer.enable_progress_bar", "false", "--report", "false"]
        started = time.monotonic()
        with (folder / "log.txt").open("wb") as log:
            process = subprocess.Popen(
                [*self.command, *tracking, *words, *place, *quiet], stdout=log, stderr=log, preexec_fn=_end_with_parent
            )
            try:
                status, usage = _wait(process, beat)
            except BaseException:
                process.kill()
                process.wait()
                raise
        seconds = time.monotonic() - started
        shutil.rmtree(folder / "fit" / CHECKPOINTS, ignore_errors=True)
        if status != 0:
            raise CellFailedError(_reason(folder / "log.txt", status))
        peak = round(usage.ru_maxrss / 1024)
        return {**read_metrics(folder / "fit"), "seconds": round(seconds, 1), "peak_megabytes": peak}


def read_metrics(folder: Path) -> dict[str, Any]:
    """Read the test metrics of a finished run and the sizes of its splits.

    Args:
        folder: The folder of the run.

    Raises:
        CellFailedError: If the files are missing or damaged, the balanced accuracy is undefined, or there is no test
            row: the metrics are then out-of-fold ones, of the same rows in every split, which no test over splits can
            compare.
    """
    import polars

    try:
        metrics = json.loads((folder / TEST_METRICS).read_text())
        splits = polars.read_csv(folder / "splits.csv")["split"]
    except (OSError, ValueError, polars.exceptions.PolarsError) as error:
        raise CellFailedError(f"the run wrote no metrics ({error})") from error
    values = {name.removeprefix("test/"): value for name, value in metrics.items() if name.count("/") == 1}
    accuracy = values.get("balanced_accuracy")
    if accuracy is None or not math.isfinite(accuracy):
        raise CellFailedError(f"balanced_accuracy: expected a number, got {accuracy}")
    train, test = (int((splits == name).sum()) for name in ("train", "test"))
    if not test:
        raise CellFailedError(
            "splits.csv: expected test rows, got none; with folds, --data.keep_test true keeps some out of them"
        )
    return {**values, "train_samples": train, "test_samples": test}


def _end_with_parent() -> None:
    """Let the run end if its worker is killed; only Linux supports this."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def _wait(process: subprocess.Popen[bytes], beat: Callable[[], None]) -> tuple[int, Any]:
    """Wait for a child process; returns its exit status and resource usage."""
    last = time.monotonic()
    while True:
        ended, status, usage = os.wait4(process.pid, os.WNOHANG)
        if ended:
            # Popen asks for no resource usage, and does not know that somebody else waited.
            process.returncode = os.waitstatus_to_exitcode(status)
            return process.returncode, usage
        if time.monotonic() - last > HEARTBEAT_SECONDS:
            beat()
            last = time.monotonic()
        time.sleep(_POLL_SECONDS)


def _reason(log: Path, status: int) -> str:
    """The error message of the command, or the last line of its output."""
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("lightning: error: ")]
    last = (errors or lines or ["no output"])[-1]
    return f"exit status {status}: {last.removeprefix('lightning: error: ')}"
