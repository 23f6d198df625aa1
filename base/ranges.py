"""Checks of numeric settings, which NaN never passes."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral

from base.errors import InputError

_INFINITE = float("inf")
_SMALLEST_POSITIVE = 2.0**-126
"""The smallest normal fp32 number; division by a smaller one overflows."""

LARGEST_SEED = 2**32 - 1
"""The largest seed that numpy and Lightning accept."""


def check_range(name: str, value: float, lowest: float, below: float = _INFINITE, highest: float = _INFINITE) -> None:
    """Check that a number is finite and in ``[lowest, below)`` and at most `highest`.

    Args:
        name: Name of the setting, for the message.
        value: Value of the setting.
        lowest: Smallest valid value; minus infinity for none.
        below: Upper bound, itself invalid.
        highest: Largest valid value.

    Raises:
        InputError: If the value is out of range, infinite or NaN.
    """
    if lowest <= value < below and value <= highest and abs(value) < _INFINITE:
        return
    if highest < _INFINITE:
        expected = f"a number from {lowest:g} to {highest:g}"
    elif below < _INFINITE:
        expected = f"a number from {lowest:g} to below {below:g}"
    else:
        expected = "a finite number" + (f" of {lowest:g} or more" if lowest > -_INFINITE else "")
    raise InputError(f"{name}: expected {expected}, got {value}.")


def check_positive(name: str, value: float) -> None:
    """Check that a number is positive in fp32 and finite.

    Args:
        name: Name of the setting, for the message.
        value: Value of the setting.

    Raises:
        InputError: If the value is out of range or NaN.
    """
    if not _SMALLEST_POSITIVE <= value < _INFINITE:
        raise InputError(f"{name}: expected a positive finite number, got {value}.")


def check_whole(name: str, value: int | None, lowest: int, highest: int | None = None, optional: bool = False) -> None:
    """Check that a number is an integer in a range.

    Args:
        name: Name of the setting, for the message.
        value: Value of the setting.
        lowest: Smallest valid value.
        highest: Largest valid value; None for no bound.
        optional: Whether None is valid, too.

    Raises:
        InputError: If the value is no integer or out of range.
    """
    if optional and value is None:
        return
    if isinstance(value, Integral) and lowest <= value and (highest is None or value <= highest):
        return
    number = "" if isinstance(value, Integral) else "an integer of "
    expected = f"{number}{lowest} or more" if highest is None else f"an integer from {lowest} to {highest}"
    raise InputError(f"{name}: expected {expected}{', or null' if optional else ''}, got {value}.")


def check_seed(name: str, value: int) -> None:
    """Check that a number is a seed of random numbers.

    Args:
        name: Name of the setting, for the message.
        value: Value of the setting.

    Raises:
        InputError: If the value is no integer from 0 to `LARGEST_SEED`.
    """
    check_whole(name, value, 0, LARGEST_SEED)


def check_sizes(name: str, sizes: Sequence[int] | None) -> None:
    """Check that sizes of layers are positive integers.

    Args:
        name: Name of the setting, for the message.
        sizes: The sizes; None and an empty list are valid.

    Raises:
        InputError: If a size is no integer of 1 or more.
    """
    for size in sizes or ():
        if not isinstance(size, Integral) or size < 1:
            raise InputError(f"{name}: expected sizes of 1 or more, got {list(sizes or ())}.")
