"""What a run leaves in W&B beside its metrics: its id, to be resumed, its best value, and its files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from lightning.pytorch.loggers import Logger, WandbLogger

from base.atomic_file import write_file


def saved_id(folder: Path) -> str | None:
    """The id of the W&B run that writes into the folder of a run; None without one.

    Args:
        folder: Folder of the run.
    """
    path = _id_file(folder)
    return path.read_text().strip() if path.is_file() else None


def save_id(folder: Path, run: Any) -> None:
    """Write the id of a W&B run, for the run that resumes this one.

    Args:
        folder: Folder of the run.
        run: The run, as W&B returns it.
    """
    path = _id_file(folder)
    path.parent.mkdir(exist_ok=True)
    write_file(path, lambda temporary: temporary.write_text(f"{run.id}\n"))


def log_best(loggers: Sequence[Logger], name: str, value: float) -> None:
    """Write the best value of a metric to the summary of the W&B run; does nothing without a W&B logger.

    W&B's own summary has the last value. Its rule for the best one (`define_metric`) would start anew in a resumed
    offline run, and replaces the last value, by which W&B sweeps choose.

    Args:
        loggers: Loggers of the trainer on the first process.
        name: Name of the metric.
        value: Its best value.
    """
    for run in _runs(loggers):
        run.summary[f"best/{name}"] = value


def log_artifact(
    loggers: Sequence[Logger], kind: Literal["report", "model"], path: Path, aliases: Sequence[str] = ()
) -> None:
    """Log a file as an artifact of the W&B run; does nothing without a W&B logger.

    Args:
        loggers: Loggers of the trainer on the first process.
        kind: Type of the artifact, and the start of its name.
        path: The file.
        aliases: Names of this version of the artifact, beside `latest`.
    """
    for run in _runs(loggers):
        import wandb

        artifact = wandb.Artifact(f"{kind}-{run.id}", type=kind)
        # Otherwise W&B would keep a copy of each file in the user's home.
        artifact.add_file(str(path.resolve()), policy="immutable", skip_cache=True)
        run.log_artifact(artifact, aliases=list(aliases))


def finish(loggers: Sequence[Logger], exit_code: int = 0) -> None:
    """End the W&B run, so that nothing more is written there; does nothing without a W&B logger.

    Args:
        loggers: Loggers of the trainer.
        exit_code: 0 if the run succeeded.
    """
    if any(isinstance(logger, WandbLogger) for logger in loggers):
        import wandb

        wandb.finish(exit_code=exit_code)


def _runs(loggers: Sequence[Logger]) -> list[Any]:
    return [logger.experiment for logger in loggers if isinstance(logger, WandbLogger)]


def _id_file(folder: Path) -> Path:
    return folder / "wandb" / "run_id"
