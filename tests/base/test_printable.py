"""Text that is safe to print."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from base.printable import printable


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", "plain"),
        ("two\nlines\tand a tab", "two\nlines\tand a tab"),
        ("\x1b[31mred\x07", "\\x1b[31mred\\x07"),
        ("caf\u00e9 \u03b2-lactam", "caf\u00e9 \u03b2-lactam"),
        ("\u202egnp.exe", "\\u202egnp.exe"),
        ("over\rwritten", "over\\rwritten"),
        ("name\udcff", "name\\udcff"),
    ],
)
def test_only_what_changes_the_terminal_is_escaped(text: str, expected: str) -> None:
    assert printable(text) == expected


@given(st.text())
def test_nothing_remains_that_can_change_the_terminal(text: str) -> None:
    shown = printable(text)
    assert not {one for one in shown if unicodedata.category(one) in ("Cc", "Cf", "Cs") and one not in "\n\t"}
    shown.encode()
