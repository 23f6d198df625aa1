"""The database that the workers of a benchmark or a search share."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from optuna.storages import RDBStorage

_LOCK_SECONDS = 120


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
