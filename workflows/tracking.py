"""Where metrics are logged: always a CSV file, and W&B unless it is switched off."""

from __future__ import annotations

import csv
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

from lightning.fabric.loggers.logger import rank_zero_experiment
from lightning.pytorch.loggers import CSVLogger, Logger, WandbLogger
from lightning.pytorch.loggers.csv_logs import ExperimentWriter

from base.atomic_file import write_file


@dataclass
class TrackingSettings:
    """W&B settings.

    Args:
        wandb: auto: online when logged in, else offline; the environment variable WANDB_MODE goes before it.
        project: Project of the W&B run.
        name: Name of the W&B run; data set and version if null.
    """

    wandb: Literal["auto", "online", "offline", "disabled"] = "auto"
    project: str = "tailmol"
    name: str | None = None


class ContinuedCSVLogger(CSVLogger):
    """A CSV logger that a resumed run appends to, where Lightning's deletes what is there."""

    @property
    @rank_zero_experiment
    def experiment(self) -> ExperimentWriter:
        """The writer of `metrics.csv`, made when it is first asked for."""
        if self._experiment is None:
            self._experiment = _AppendingWriter(self.log_dir)
        return cast(ExperimentWriter, self._experiment)


class _AppendingWriter(ExperimentWriter):
    def _check_log_dir_exists(self) -> None:
        path = Path(self.metrics_file_path)
        if path.is_file():
            with path.open(newline="") as file:
                self.metrics_keys = next(csv.reader(file), [])

    def _rewrite_with_new_header(self, fieldnames: list[str]) -> None:
        """Lightning's would lose the rows where it is stopped."""
        path = Path(self.metrics_file_path)
        with path.open(newline="") as file:
            rows = list(csv.DictReader(file))

        def write(temporary: Path) -> None:
            with temporary.open("w", newline="") as file:
                writer = csv.DictWriter(file, fieldnames)
                writer.writeheader()
                writer.writerows(rows)

        write_file(path, write)


def make_loggers(settings: TrackingSettings, folder: Path, first: bool = True) -> list[Logger]:
    """A CSV logger and, unless it is disabled, a W&B logger, both writing into the run's folder.

    Args:
        settings: What to track with.
        folder: The run's.
        first: Whether this is the first process, which alone logs.
    """
    # Whole, since the checkpoints go beside the CSV file, and a resumed run asks whether their folder is the same.
    folder = folder.resolve()
    loggers: list[Logger] = [ContinuedCSVLogger(folder.parent.parent, name=folder.parent.name, version=folder.name)]
    mode = os.environ.get("WANDB_MODE") or settings.wandb
    if mode == "auto":
        mode = "online" if first and _logged_in() else "offline"
    if mode != "disabled":
        name = settings.name or f"{folder.parent.name} {folder.name}"
        offline = mode in ("offline", "dryrun")
        # The mode is named too: W&B reads the environment, which `offline` alone changes, once, when asked for a login.
        given = "offline" if offline else mode
        loggers.append(WandbLogger(name=name, project=settings.project, save_dir=folder, offline=offline, mode=given))
    return loggers


def _logged_in() -> bool:
    import wandb

    return wandb.login(prompt=False)
