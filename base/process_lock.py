"""Locks between processes."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_log = logging.getLogger("tailmol")

_SECONDS_BEFORE_MESSAGE = 2


@contextmanager
def exclusive_lock(path: Path, work: str) -> Iterator[None]:
    """Hold an exclusive lock, which the operating system releases if the process is killed.

    Args:
        path: Lock file; its folder must exist.
        work: What the process holding the lock does, such as `downloads hiv.csv`, for the message to waiting processes.
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
