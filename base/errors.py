"""Errors caused by the user's input."""

from __future__ import annotations


class InputError(ValueError):
    """Invalid settings, tables or files given by the user; the message is one sentence, shown without a traceback."""
