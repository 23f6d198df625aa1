"""The folder of a run."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from base.errors import InputError


@dataclass
class RunSettings:
    """Folder of the run: ROOT/NAME/VERSION.

    Args:
        root: Folder of all runs.
        name: Folder of the runs on a data set; null takes the name of the data source.
        version: Folder of this run; null takes the next free version_N.
    """

    root: str = "runs"
    name: str | None = None
    version: str | None = None


@dataclass(frozen=True)
class RunFolder:
    """The claimed folder of a run.

    Attributes:
        path: The folder.
        made: The folders that the claim created, deepest first.
        is_new: Whether the folder was missing or empty before, unlike that of a resumed run.
    """

    path: Path
    made: tuple[Path, ...] = ()
    is_new: bool = False

    def remove_if_empty(self) -> None:
        """Remove the folders that the claim created, as far as they are empty."""
        for folder in self.made:
            if not folder.is_dir() or any(folder.iterdir()):
                return
            folder.rmdir()

    def discard(self) -> None:
        """Remove what a run has written that was refused before its first step, and the folders that it created."""
        for path in self.path.iterdir() if self.is_new else ():
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()
        self.remove_if_empty()


def claim_run_folder(settings: RunSettings, source: str, resumed: Path | None) -> RunFolder:
    """Create the folder of a run; to be called on the first process only.

    A resumed run continues in its own folder. A run with several processes on a cluster is named by its job, so that
    it finds its checkpoint when the cluster restarts the job.

    Args:
        settings: Names of the folder.
        source: The data source, which gives the default name.
        resumed: The checkpoint to resume from, if any.

    Returns:
        The folder, and which folders were created.

    Raises:
        InputError: If the given folder already contains a run.
    """
    folder = _resumed_folder(resumed) if resumed and settings.version is None else None
    missing: list[Path] = []
    is_new = False
    if folder is None:
        parent = Path(settings.root) / (settings.name or Path(source).name.split(".")[0])
        missing = [one for one in (parent, *parent.parents) if not one.exists()]
        version = settings.version or _job_number()
        folder = parent / version if version else _next_version(parent)
        if not version or not folder.exists():
            missing.insert(0, folder)
        is_new = not version or not folder.exists() or not any(folder.iterdir())
        if settings.version and folder.is_dir() and any(folder.iterdir()):
            raise InputError(f"run.version: expected a new or empty folder, got {folder}, which contains a run.")
    folder.mkdir(parents=True, exist_ok=True)
    return RunFolder(folder, tuple(missing), is_new)


def _resumed_folder(checkpoint: Path) -> Path | None:
    folder = checkpoint.resolve().parent
    return folder.parent if folder.name == "checkpoints" else None


def _job_number() -> str | None:
    if "SLURM_JOB_ID" in os.environ and int(os.environ.get("SLURM_NTASKS", "1")) > 1:
        # A job may start several runs, each as a separate step.
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
