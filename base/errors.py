"""The error that is the user's to mend."""

from __future__ import annotations


class InputError(ValueError):
    """What the table, the settings or the files that a user gave got wrong, in one sentence."""
