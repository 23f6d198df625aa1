"""Loggers of a run: always a CSV file, W&B unless it is disabled, and others that the settings name."""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

from lightning.fabric.loggers.logger import rank_zero_experiment
from lightning.fabric.utilities.rank_zero import rank_zero_only
from lightning.pytorch.loggers import CSVLogger, Logger, WandbLogger
from lightning.pytorch.loggers.csv_logs import ExperimentWriter

from base.atomic_file import write_file
from base.errors import InputError
from workflows.wandb_run import log_artifact, saved_id


@dataclass
class TrackingSettings:
    """Settings of the W&B logger.

    Args:
        wandb: Mode of W&B; auto: online if logged in, else offline. The environment variable WANDB_MODE takes
            precedence.
        project: Name of the W&B project.
        name: Name of the W&B run; null takes the names of the data set and the version.
        entity: User or team that owns the W&B project; null takes the default of your login. Never taken from a
            checkpoint.
        group: Group of the W&B run; null takes the run's name for the members of an ensemble, the search's for its
            trials and the benchmark's for its runs, and no group otherwise.
        job_type: Kind of the W&B run; null takes the subcommand, or refit, or ensemble.
        tags: Tags of the W&B run, such as `[baseline, scaffold]`.
        notes: Notes on the W&B run.
        log_report: Whether report.html is an artifact of the W&B run.
        log_checkpoints: Whether best.ckpt, and final.ckpt of a refit, are artifacts of the W&B run; each is a few
            megabytes or more.
    """

    wandb: Literal["auto", "online", "offline", "disabled"] = "auto"
    project: str = "tailmol"
    name: str | None = None
    entity: str | None = None
    group: str | None = None
    job_type: str | None = None
    tags: list[str] | None = None
    notes: str | None = None
    log_report: bool = True
    log_checkpoints: bool = False


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


def make_loggers(
    settings: TrackingSettings,
    folder: Path,
    first: bool = True,
    job_type: str = "fit",
    goes_on: bool = False,
) -> list[Logger]:
    """Create a CSV logger and, unless it is disabled, a W&B logger, which write to the run's folder.

    Args:
        settings: Settings of the W&B logger.
        folder: Folder of the run.
        first: Whether this is the first process, which is the only one that logs.
        job_type: Kind of the W&B run if the settings do not name one.
        goes_on: Whether the run in the folder goes on, also in W&B.

    Returns:
        The loggers, that of the CSV file first.
    """
    # Absolute, since checkpoints are written next to the CSV file, and a resumed run compares their folders.
    folder = folder.resolve()
    loggers: list[Logger] = [ContinuedCSVLogger(folder)]
    mode = os.environ.get("WANDB_MODE") or settings.wandb
    if mode == "auto":
        mode = "online" if first and _logged_in() else "offline"
    if mode != "disabled":
        import wandb

        offline = mode in ("offline", "dryrun")
        logger = WandbLogger(
            name=settings.name or f"{folder.parent.name} {folder.name}",
            project=settings.project,
            save_dir=folder,
            id=saved_id(folder) if goes_on else None,
            # `offline` would set an environment variable instead, which W&B has already read if it was asked for the
            # login, and warn of the change.
            mode="offline" if offline else mode,
            entity=settings.entity,
            group=settings.group,
            job_type=settings.job_type or job_type,
            tags=settings.tags,
            notes=settings.notes,
            # What an offline run would print is of use to those alone who upload it (docs/tracking.md).
            settings=wandb.Settings(silent=True) if offline else None,
        )
        # W&B warns of this setting, which no longer does anything, whatever value Lightning gives it.
        logger._wandb_init.pop("anonymous", None)
        loggers.append(logger)
    return loggers


def further_loggers(given: object) -> list[Logger]:
    """The loggers that the settings name beside those of every run.

    Args:
        given: The setting `trainer.logger`: a logger, a list of them, or true, false or null, which name none.

    Raises:
        InputError: If one is for W&B.
    """
    loggers = [given] if isinstance(given, Logger) else list(given) if isinstance(given, Sequence) else []
    for logger in loggers:
        if isinstance(logger, WandbLogger):
            raise InputError(
                "trainer.logger: expected loggers beside that of W&B, which the settings of tracking describe, got "
                "WandbLogger."
            )
    return loggers


def _logged_in() -> bool:
    import wandb

    return wandb.login(prompt=False)


def log_artifacts(
    loggers: Sequence[Logger],
    settings: TrackingSettings,
    page: Path | None,
    checkpoint: Path,
    aliases: Sequence[str] = (),
) -> None:
    """Log the report and the checkpoint of a run as artifacts of its W&B run, as far as the settings ask for it.

    Args:
        loggers: Loggers of the trainer on the first process.
        settings: Settings of the W&B logger.
        page: The report; None without one.
        checkpoint: The checkpoint.
        aliases: Names of this version of the checkpoint, beside `latest`.
    """
    if page is not None and settings.log_report:
        log_artifact(loggers, "report", page)
    if settings.log_checkpoints:
        log_artifact(loggers, "model", checkpoint, aliases)
