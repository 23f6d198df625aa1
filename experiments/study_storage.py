"""The database that the workers of a benchmark or a search share."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from base.errors import InputError

if TYPE_CHECKING:
    from optuna.storages import RDBStorage

_LOCK_SECONDS = 120


@contextmanager
def opening(folder: Path) -> Iterator[None]:
    """Lock the folder of a study, so that the workers that share it change the study one after the other.

    Args:
        folder: Folder of the study; created if it is missing.

    Raises:
        InputError: If the database cannot be used.
    """
    from filelock import FileLock
    from sqlalchemy.exc import SQLAlchemyError

    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / ".study.lock"):
            yield
    except (SQLAlchemyError, ImportError, ValueError) as error:
        raise InputError(f"storage: {one_line(error)}") from error


def open_storage(address: str, heartbeat_seconds: int, grace_seconds: int) -> RDBStorage:
    """Open or create a database of studies.

    Args:
        address: Database URL as SQLAlchemy takes it.
        heartbeat_seconds: Interval of the heartbeats of a running trial.
        grace_seconds: Time without a heartbeat after which the trial counts as failed.
    """
    import optuna

    # SQLite lets one process write at a time, and makes the others fail after five seconds.
    waiting = {"connect_args": {"timeout": _LOCK_SECONDS}} if address.startswith("sqlite") else {}
    with warnings.catch_warnings():
        # Heartbeats have been marked experimental since 2021.
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return optuna.storages.RDBStorage(
            address, engine_kwargs=waiting, heartbeat_interval=heartbeat_seconds, grace_period=grace_seconds
        )


def one_line(error: BaseException) -> str:
    """The message of an error without line breaks, or its type if it has no message."""
    return " ".join(str(error).split()) or type(error).__name__
