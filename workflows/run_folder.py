"""The folder of a run."""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from base.atomic_file import remove_unfinished
from base.errors import DiskFullError, InputError
from modules.run_layout import CHECKPOINTS, folder_of, last_checkpoint
from workflows.run_lock import LOCK, is_certain, lock_folder, unlock_folder


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
            if not folder.is_dir() or _content(folder):
                return
            unlock_folder(folder)
            folder.rmdir()

    def discard(self) -> None:
        """Remove what a run has written that was refused before its first step, and the folders that it created."""
        if self.is_new:
            for path in self.path.iterdir():
                if path.is_dir():
                    shutil.rmtree(path)
                elif path.name != LOCK:
                    path.unlink()
            unlock_folder(self.path)
        self.remove_if_empty()


def claim_run_folder(settings: RunSettings, source: str, resumed: Path | None, exclusive: bool = False) -> RunFolder:
    """Create the folder of a run; to be called on the first process only.

    A resumed run continues in its own folder, without the temporary files that it has left when it was killed. A run
    with several tasks in SLURM is named by its job, so that it finds its checkpoint when the cluster restarts the job;
    so does a run with a given version. A run that was cut off before its first checkpoint starts anew in the folder of
    its version.

    Args:
        settings: Names of the folder.
        source: The data source, which gives the default name.
        resumed: The checkpoint to resume from, if any.
        exclusive: Whether to lock the folder against other processes, see `lock_folder`.

    Returns:
        The folder, and which folders were created.

    Raises:
        InputError: If the given folder already contains a run, or another process has locked it.
    """
    resumed_folder = folder_of(resumed) if resumed and settings.version is None else None
    missing: list[Path] = []
    folder = resumed_folder
    if folder is None:
        parent = _parent(settings, source)
        missing = [one for one in (parent, *parent.parents) if not one.exists()]
        named = named_folder(settings, source)
        folder = named or _next_version(parent)
        if named is None or not folder.exists():
            missing.insert(0, folder)
    folder.mkdir(parents=True, exist_ok=True)
    # Where SLURM puts a job back after its node has failed, the lock of the node may outlive it.
    if exclusive and not lock_folder(folder) and not _is_restarted():
        setting = "run.version" if resumed_folder is None else "ckpt_path"
        raise InputError(f"{setting}: expected a folder in which no other process is at work, got {folder}.")
    is_new = resumed_folder is None and not _content(folder)
    was_cut_off = resumed_folder is None and exclusive and is_certain(folder) and _was_cut_off(folder)
    if settings.version and not (is_new or was_cut_off or _is_restarted()):
        unlock_folder(folder)
        raise InputError(f"run.version: expected a new or empty folder, got {folder}, which contains a run.")
    if was_cut_off:
        _remove_progress(folder)
    if (folder / "config.yaml").is_file():
        # Not where somebody has copied a checkpoint into another folder of the name `checkpoints`.
        for place in (folder, folder / CHECKPOINTS, folder / "class_means"):
            remove_unfinished(place)
    return RunFolder(folder, tuple(missing), is_new)


def find_interrupted(settings: RunSettings, source: str) -> Path | None:
    """Find the checkpoint of the same run in a job that SLURM has restarted; every process finds the same one.

    Args:
        settings: Names of the folder.
        source: The data source, which gives the default name.
    """
    if "SLURM_JOB_ID" not in os.environ or (settings.version and not _is_restarted()):
        return None
    folder = named_folder(settings, source)
    return last_checkpoint(folder) if folder is not None and last_checkpoint(folder).is_file() else None


def how_to_go_on(command: str, arguments: Sequence[str], folder: Path | None) -> str:
    """How a run that was cut off can be continued; the end of a sentence.

    Args:
        command: Name of the command.
        arguments: The command line after `fit`.
        folder: Folder of the run; None if it has none yet.
    """
    if folder is not None and (folder / "folds").is_dir():
        version = (
            [] if any(word.split("=")[0] == "--run.version" for word in arguments) else ["--run.version", folder.name]
        )
        return f"to go on: {shlex.join([command, 'fit', *arguments, *version])}"
    last = None if folder is None else last_checkpoint(folder)
    if last is not None and last.is_file():
        return f"to go on: {shlex.join([command, 'fit', '--ckpt_path', str(last)])}"
    return f"there is no checkpoint yet, to start again: {shlex.join([command, 'fit', *arguments])}"


def disk_full(command: str, arguments: Sequence[str], folder: Path) -> DiskFullError:
    """The error of a run that a full disk has cut off; arguments as of `how_to_go_on`."""
    advice = how_to_go_on(command, arguments, folder)
    return DiskFullError(f"The disk is full, and the files from before are whole; {advice}")


def _content(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} - {LOCK}


def _was_cut_off(folder: Path) -> bool:
    """Whether a folder holds a run that ended before its first checkpoint."""
    # W&B writes while the table is featurized, and the list of rejected rows follows.
    content = _content(folder)
    results = (*folder.glob(f"{CHECKPOINTS}/*.ckpt"), *folder.glob("*_metrics.json"))
    return ("rejected.csv" in content or content == {"wandb"}) and not results


def _remove_progress(folder: Path) -> None:
    """Remove what a run that starts anew would add to, or leave from the time before."""
    for name in ("metrics.csv", "class_weights.csv"):
        (folder / name).unlink(missing_ok=True)
    shutil.rmtree(folder / "class_means", ignore_errors=True)


def _parent(settings: RunSettings, source: str) -> Path:
    return Path(settings.root) / (settings.name or Path(source).name.split(".")[0])


def named_folder(settings: RunSettings, source: str) -> Path | None:
    """The folder of a run whose version is given, by the user or by its job; None if it is the next free one.

    Args:
        settings: Names of the folder.
        source: The data source, which gives the default name.
    """
    version = settings.version or _job_number()
    return _parent(settings, source) / version if version else None


def _is_restarted() -> bool:
    """Whether SLURM has started this job before."""
    return int(os.environ.get("SLURM_RESTART_COUNT", "0")) > 0


def _job_number() -> str | None:
    if "SLURM_JOB_ID" in os.environ and int(os.environ.get("SLURM_NTASKS", "1")) > 1:
        # A job may start several runs, each as a separate step.
        step = os.environ.get("SLURM_STEP_ID", "0")
        return f"job_{os.environ['SLURM_JOB_ID']}" + (f"_{step}" if step != "0" else "")
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
