"""The lock on the folder of a run, which one command holds at a time.

The system releases it when the process ends, however it ends; a file of the lock that a killed process has left locks
nothing.
"""

from __future__ import annotations

import atexit
import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LOCK = ".lock"
"""File in the folder of a run that is locked, and removed at the end of the run."""

_NO_LOCKS = (errno.EINVAL, errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP)

_held: dict[Path, int] = {}
"""Descriptors of the locked files of this process, by absolute folder."""

_unlockable: set[Path] = set()
"""Folders of these on file systems that have no locks."""


def lock_folder(folder: Path) -> bool:
    """Lock a folder for this process, which may do so again.

    Args:
        folder: An existing folder.

    Returns:
        Whether no other process has locked it.
    """
    place = folder.resolve()
    if place in _held and _is_at(_held[place], place / LOCK):
        return True
    unlock_folder(place)
    has_lock = True
    while True:
        descriptor = os.open(place / LOCK, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return False
        except OSError as error:
            # Some network file systems have no locks, and nothing would be won by refusing all runs there.
            if error.errno not in _NO_LOCKS:
                os.close(descriptor)
                raise
            has_lock = False
        if _is_at(descriptor, place / LOCK):
            _held[place] = descriptor
            if not has_lock:
                _unlockable.add(place)
            return True
        # The process that held the lock has just removed the file.
        os.close(descriptor)


def is_certain(folder: Path) -> bool:
    """Whether no other process can be at work in a folder that this one has locked: some file systems have no locks.

    Args:
        folder: The folder.
    """
    return folder.resolve() in _held.keys() - _unlockable


def unlock_folder(folder: Path) -> None:
    """Remove the lock that this process has on a folder, if any.

    Args:
        folder: The folder.
    """
    place = folder.resolve()
    descriptor = _held.pop(place, None)
    _unlockable.discard(place)
    if descriptor is None:
        return
    if _is_at(descriptor, place / LOCK):
        (place / LOCK).unlink()
    os.close(descriptor)


@contextmanager
def unlocking_folders() -> Iterator[None]:
    """Remove the locks at the end of a block or a decorated function that this process has taken in it."""
    before = set(_held)
    try:
        yield
    finally:
        for folder in set(_held) - before:
            unlock_folder(folder)


def _close_in_copy() -> None:
    """Close the files in a forked copy, which would hold the locks for as long as it lives."""
    for descriptor in _held.values():
        os.close(descriptor)
    _held.clear()


os.register_at_fork(after_in_child=_close_in_copy)


@atexit.register
def _unlock_all() -> None:
    for folder in list(_held):
        unlock_folder(folder)


def _is_at(descriptor: int, path: Path) -> bool:
    """Whether a file is still that of a path, which others may have removed or written anew."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False
