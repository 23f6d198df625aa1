"""The database that the workers of a benchmark or a search share."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from base.errors import InputError
from experiments.search_results import one_line

if TYPE_CHECKING:
    from optuna.storages import RDBStorage

_LOCK_SECONDS = 120


@contextmanager
def opening(folder: Path) -> Iterator[None]:
    """While a study is opened or made: the workers of a machine that share its folder wait for each other.

    Args:
        folder: The study's; made if it is missing.

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
    """Open or make a database.

    Args:
        address: As SQLAlchemy writes it.
        heartbeat_seconds: From one sign of life of a running trial to the next.
        grace_seconds: Without one before the trial counts as given up.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    # SQLite lets one process write at a time and gives the others up after five seconds.
    waiting = {"connect_args": {"timeout": _LOCK_SECONDS}} if address.startswith("sqlite") else {}
    with warnings.catch_warnings():
        # Signs of life are called experimental since 2021.
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return optuna.storages.RDBStorage(
            address, engine_kwargs=waiting, heartbeat_interval=heartbeat_seconds, grace_period=grace_seconds
        )
