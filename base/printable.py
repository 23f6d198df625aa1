"""Text from tables, files and settings that is safe to print."""

from __future__ import annotations

import unicodedata

# Control characters, directions and other formats, halves of characters, and breaks of lines and paragraphs.
_ESCAPED = ("Cc", "Cf", "Cs", "Zl", "Zp")


def printable(text: str) -> str:
    """Escape the characters that could change the terminal or hide text; line feeds and tabs are kept.

    Args:
        text: Any text.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(_escape(one) for one in text)


def _escape(character: str) -> str:
    if character in "\n\t" or unicodedata.category(character) not in _ESCAPED:
        return character
    return character.encode("unicode_escape").decode()
