"""Paths as a user writes them."""

import os
from pathlib import Path


def path_of(text: str) -> Path:
    """A path in which ~ is the user's folder.

    Args:
        text: The path as given.
    """
    # Path.expanduser fails where ~ begins the name of a file, such as ~$drugs.csv, beside a workbook that is open.
    return Path(os.path.expanduser(text))  # noqa: PTH111
