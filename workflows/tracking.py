"""Loggers of a run: always a CSV file, and W&B unless it is disabled."""

from __future__ import annotations

import csv
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

from lightning.fabric.loggers.logger import rank_zero_experiment
from lightning.fabric.utilities.rank_zero import rank_zero_only
from lightning.pytorch.loggers import CSVLogger, Logger, WandbLogger
from lightning.pytorch.loggers.csv_logs import ExperimentWriter

from base.atomic_file import write_file


@dataclass
class TrackingSettings:
    """Settings of the W&B logger.

    Args:
        wandb: Mode of W&B; auto: online if logged in, else offline. The environment variable WANDB_MODE takes
            precedence.
        project: Name of the W&B project.
        name: Name of the W&B run; null takes the names of the data set and the version.
    """

    wandb: Literal["auto", "online", "offline", "disabled"] = "auto"
    project: str = "tailmol"
    name: str | None = None


class ContinuedCSVLogger(CSVLogger):
    """A CSV logger to which a resumed run appends, whereas Lightning's deletes the existing file.

    Each row is written at once: there are two for each epoch, and a killed run should keep them.
    """

    def __init__(self, folder: Path) -> None:
        """Create the logger.

        Args:
            folder: Folder of the run, with at least two parents.
        """
        super().__init__(folder.parent.parent, folder.parent.name, folder.name, flush_logs_every_n_steps=1)

    @property
    @rank_zero_experiment
    def experiment(self) -> ExperimentWriter:
        """The writer of `metrics.csv`."""
        if self._experiment is None:
            self._experiment = _AppendingWriter(self.log_dir)
        return cast(ExperimentWriter, self._experiment)

    @rank_zero_only
    def continue_from(self, step: int) -> None:
        """Remove the rows that a run resumed from a checkpoint will write again.

        Args:
            step: Number of training steps before the checkpoint.
        """
        cast(_AppendingWriter, self.experiment).continue_from(step)


class _AppendingWriter(ExperimentWriter):
    def _check_log_dir_exists(self) -> None:
        path = Path(self.metrics_file_path)
        if not path.is_file():
            return
        written = path.read_bytes()
        complete = written[: written.rfind(b"\n") + 1]
        if complete != written:
            # A killed run has written a part of a row.
            write_file(path, lambda temporary: temporary.write_bytes(complete))
        with path.open(newline="") as file:
            self.metrics_keys = next(csv.reader(file), [])

    def continue_from(self, step: int) -> None:
        rows = self._rows()
        kept = [row for row in rows if int(row["step"]) < step]
        if len(kept) < len(rows):
            self._write(self.metrics_keys, kept)

    def _rewrite_with_new_header(self, fieldnames: list[str]) -> None:
        """Rewrite the file atomically; Lightning's method could lose rows when it is interrupted."""
        self._write(fieldnames, self._rows())

    def _rows(self) -> list[dict[str, str]]:
        path = Path(self.metrics_file_path)
        if not path.is_file():
            return []
        with path.open(newline="") as file:
            return list(csv.DictReader(file))

    def _write(self, fieldnames: list[str], rows: list[dict[str, str]]) -> None:
        def write(temporary: Path) -> None:
            with temporary.open("w", newline="") as file:
                writer = csv.DictWriter(file, fieldnames)
                writer.writeheader()
                writer.writerows(rows)

        write_file(Path(self.metrics_file_path), write)


def make_loggers(settings: TrackingSettings, folder: Path, first: bool = True) -> list[Logger]:
    """Create a CSV logger and, unless it is disabled, a W&B logger, which write to the run's folder.

    Args:
        settings: Settings of the W&B logger.
        folder: Folder of the run.
        first: Whether this is the first process, which is the only one that logs.
    """
    # Absolute, since checkpoints are written next to the CSV file, and a resumed run compares their folders.
    folder = folder.resolve()
    loggers: list[Logger] = [ContinuedCSVLogger(folder)]
    mode = os.environ.get("WANDB_MODE") or settings.wandb
    if mode == "auto":
        mode = "online" if first and _logged_in() else "offline"
    if mode != "disabled":
        name = settings.name or f"{folder.parent.name} {folder.name}"
        offline = mode in ("offline", "dryrun")
        # `offline` alone sets an environment variable, which W&B has already read if it was asked for the login.
        given = "offline" if offline else mode
        loggers.append(WandbLogger(name=name, project=settings.project, save_dir=folder, offline=offline, mode=given))
    return loggers


def _logged_in() -> bool:
    import wandb

    return wandb.login(prompt=False)
