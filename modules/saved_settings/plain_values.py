"""Settings of a checkpoint as plain values of a bounded size."""

from __future__ import annotations

from typing import Any

MAX_DEPTH = 30
MAX_VALUES = 100_000
MAX_TEXT = 1_000_000
"""Largest depth, number of values and number of characters of settings; real ones stay below a hundredth of them."""


class _Left:
    """What a reading of settings may still take."""

    def __init__(self) -> None:
        self.values, self.text = MAX_VALUES, MAX_TEXT

    def take(self, text: int = 0) -> None:
        self.values, self.text = self.values - 1, self.text - text
        if self.values < 0 or self.text < 0:
            raise ValueError(f"settings: expected at most {MAX_VALUES:,} values and {MAX_TEXT:,} characters, got more")


def plain_settings(settings: object) -> dict[str, Any]:
    """Copy settings, which may hold nothing but plain values.

    Args:
        settings: Nested mappings and lists of text, numbers, booleans and None, as `yaml.safe_load` returns them.

    Returns:
        The same values, in which nothing is shared.

    Raises:
        ValueError: If there is another type, a name that is not an identifier, an interpolation, or too much of it.
    """
    if type(settings) is not dict:
        raise ValueError(f"settings: expected a mapping, got {type(settings).__name__}")
    copied: dict[str, Any] = _copy(settings, 0, _Left())
    return copied


def _copy(value: object, depth: int, left: _Left) -> Any:
    if depth > MAX_DEPTH:
        raise ValueError(f"settings: expected at most {MAX_DEPTH} levels, got more")
    left.take()
    if value is None or type(value) in (bool, int, float):
        return value
    if type(value) is str:
        return _text(value, left)
    if type(value) is list:
        return [_copy(item, depth + 1, left) for item in value]
    if type(value) is dict:
        return {_name(name, left): _copy(item, depth + 1, left) for name, item in value.items()}
    raise ValueError(f"settings: expected plain values, got {type(value).__name__}")


def _text(text: str, left: _Left) -> str:
    left.take(len(text))
    if "${" in text:
        # The parser of settings would replace it, for instance by an environment variable.
        raise ValueError(f"settings: expected values, got the interpolation {text[:80]!r}")
    return text


def _name(name: object, left: _Left) -> str:
    # To the parser of settings, dots separate nested names, a final plus appends, and underscores begin commands.
    if type(name) is not str or not name.isidentifier() or name.startswith("__"):
        raise ValueError(f"settings: expected names of settings, got {str(name)[:80]!r}")
    return _text(name, left)
