"""Errors that are shown in one sentence, without a traceback."""

from __future__ import annotations

import errno
import os


class InputError(ValueError):
    """Invalid settings, tables or files given by the user; the message is one sentence, shown without a traceback."""


class DiskFullError(OSError):
    """No space, or no quota, is left for a file; the message is one sentence, shown without a traceback."""


def is_disk_full(error: BaseException) -> bool:
    """Whether an error was caused by a lack of space or quota.

    Args:
        error: An error; torch and polars raise others than `OSError`, with the cause in their context or message.
    """
    link: BaseException | None = error
    while link is not None:
        if isinstance(link, DiskFullError) or getattr(link, "errno", None) in (errno.ENOSPC, errno.EDQUOT):
            return True
        if os.strerror(errno.ENOSPC) in str(link):
            return True
        link = link.__cause__ or link.__context__
    return False
