"""Work that one process does while others wait for it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_log = logging.getLogger("tailmol")

_SECONDS_BEFORE_MESSAGE = 2


@contextmanager
def hold_alone(path: Path, work: str) -> Iterator[None]:
    """Hold a lock that a killed process cannot leave behind.

    Args:
        path: The lock file; its folder must exist.
        work: What the process that holds the lock does, for the message of one that waits long.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(path)
    try:
        lock.acquire(timeout=_SECONDS_BEFORE_MESSAGE)
    except Timeout:
        _log.info(f"Waiting for another process that {work}; it holds {path}.")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()
