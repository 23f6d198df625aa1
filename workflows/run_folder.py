"""Where a run keeps what it writes."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from base.errors import InputError


@dataclass
class RunSettings:
    """Names the run's folder, <root>/<name>/<version>.

    Args:
        root: Folder of all runs.
        name: Folder of this data set's runs; the name of the data source if null.
        version: Folder of this run; the next free version_<n> if null.
    """

    root: str = "runs"
    name: str | None = None
    version: str | None = None


def claim_run_folder(settings: RunSettings, source: str, resumed: Path | None) -> Path:
    """Make the folder of a run, on its first process, which tells the others.

    A resumed run goes on in the folder that it was stopped in. A run of several processes on a cluster is named by its
    job, so that it finds its checkpoint again when the cluster starts it anew.

    Args:
        settings: Names given by the user.
        source: The data source, which names the run if nothing else does.
        resumed: The checkpoint to resume from.

    Returns:
        The folder, which exists.

    Raises:
        InputError: If the user named a folder that holds a run.
    """
    folder = _resumed_folder(resumed) if resumed and settings.version is None else None
    if folder is None:
        parent = Path(settings.root) / (settings.name or Path(source).name.split(".")[0])
        version = settings.version or _job_number()
        folder = parent / version if version else _next_version(parent)
        if settings.version and folder.is_dir() and any(folder.iterdir()):
            raise InputError(f"run.version: {folder} holds a run already; choose another name, or leave it out.")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def remove_if_empty(folder: Path) -> None:
    """Remove the folder of a run that wrote nothing.

    Args:
        folder: The run's.
    """
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()


def _resumed_folder(checkpoint: Path) -> Path | None:
    folder = checkpoint.resolve().parent
    return folder.parent if folder.name == "checkpoints" else None


def _job_number() -> str | None:
    if "SLURM_JOB_ID" in os.environ and int(os.environ.get("SLURM_NTASKS", "1")) > 1:
        # One job may start several runs, each a step of its own.
        step = os.environ.get("SLURM_STEP_ID", "0")
        return f"job_{os.environ['SLURM_JOB_ID']}" + (f"_{step}" if step != "0" else "")
    if "TORCHELASTIC_RUN_ID" in os.environ:
        return f"job_{os.environ['TORCHELASTIC_RUN_ID']}_{os.environ.get('MASTER_PORT', '0')}"
    return None


def _next_version(parent: Path) -> Path:
    parent.mkdir(parents=True, exist_ok=True)
    number = 0
    while True:
        folder = parent / f"version_{number}"
        try:
            folder.mkdir()
        except FileExistsError:
            number += 1
        else:
            return folder
