"""The text of a table as UTF-8 from its header on, whatever its encoding and the lines above the header."""

from __future__ import annotations

import codecs
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePath
from typing import IO, Any

from base.errors import InputError
from datamodules.tables.columns import USUAL_SMILES
from datamodules.tables.folded_name import folded
from datamodules.tables.packed_file import HEAD_BYTES, Open, UnpackedFile

DELIMITERS = ",\t;"

WINDOWS = "cp1252"

LONGEST_LINE = 1 << 24

_BLOCK_BYTES = 1 << 23
_CHARACTERS_AT_ONCE = 1 << 15
# The mark of UTF-32 starts with that of UTF-16.
_MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_BLANKS = re.compile(rb"[\r\n]*")
_HINT = re.compile(rb'("?)sep=([,;\t|])\1[\r\n]+', re.IGNORECASE)
# A column may be named #, and its header then starts with # and a delimiter.
_COMMENT = re.compile(rb"#(?! *[,;\t])[# \t]*([^\r\n]*)(?:[\r\n]+|\Z)")


@dataclass(frozen=True)
class TextContent:
    """The text of a table.

    Attributes:
        path: The file.
        encoding: Encoding of the file.
        open: Opens the text as UTF-8, at its header.
        delimiter: What a line `sep=;` above the header says; None without such a line.
    """

    path: Path
    encoding: str
    open: Open
    delimiter: str | None

    def line_blocks(self) -> Iterator[bytes]:
        """The text in blocks that end with lines.

        Raises:
            InputError: If a line is longer than 16 megabytes.
        """
        rest = b""
        with self.open() as file:
            while block := file.read(_BLOCK_BYTES):
                # Old Macs end lines with carriage returns alone.
                end = (block.rfind(b"\n") + 1) or (block.rfind(b"\r") + 1)
                if end:
                    yield rest + block[:end]
                    rest = block[end:]
                else:
                    rest += block
                if len(rest) > LONGEST_LINE:
                    raise InputError(
                        f"data.source: expected lines of at most {LONGEST_LINE >> 20} megabytes in {self.path}, got a "
                        "longer one."
                    )
        if rest:
            yield rest

    def first_line(self) -> str:
        """The first line, which is the header or its beginning; empty if there is no text.

        Raises:
            InputError: If it holds NUL bytes.
        """
        line = re.split(rb"[\r\n]", next(self.line_blocks(), b""), maxsplit=1)[0].decode()
        if "\0" in line:
            raise InputError(
                f"data.source: {self.path} has NUL bytes in its header, as has UTF-16 without a byte-order mark; save "
                "it as UTF-8 text."
            )
        return line


def read_marked_text(file: UnpackedFile) -> TextContent:
    """Text in the encoding of its byte-order mark, without one in UTF-8.

    Args:
        file: The file.

    Raises:
        InputError: If there is no header in the first megabyte, or text with a mark is damaged.
    """
    return _read_text(file, next((name for mark, name in _MARKS.items() if file.head.startswith(mark)), "utf-8"))


def read_windows_text(file: UnpackedFile) -> TextContent:
    """Text in Windows-1252, which contains Latin-1, where it cannot be damaged text in UTF-8.

    Args:
        file: The file.

    Raises:
        InputError: If some of its bytes are UTF-8, or not in Windows-1252.
    """
    try:
        certain = all(_is_windows(block) for block in TextContent(file.path, "", file.open, None).line_blocks())
    except UnicodeDecodeError:
        certain = False
    if not certain:
        name = PurePath(file.name).name
        raise InputError(
            f"data.source: {file.path} is not text in UTF-8, UTF-16 or Windows-1252; convert it, for instance with "
            f"iconv -f ENCODING -t UTF-8 {name if file.packed else file.path} > utf8_{name}."
        )
    return _read_text(file, WINDOWS)


def _is_windows(block: bytes) -> bool:
    block.decode(WINDOWS)
    return b"\0" not in block and block.decode(errors="ignore").isascii()


def _read_text(file: UnpackedFile, encoding: str) -> TextContent:
    opener = file.open if encoding == "utf-8" else partial(_recode, file, encoding)
    with opener() as stream:
        head = stream.read(HEAD_BYTES)
    start, delimiter = _find_header(head)
    if start == HEAD_BYTES:
        raise InputError(f"data.source: expected a header in the first megabyte of {file.path}, got comments.")
    return TextContent(file.path, encoding, partial(_open_at, opener, start), delimiter)


def _open_at(opener: Open, start: int) -> IO[bytes]:
    stream = opener()
    stream.read(start)
    return stream


def _find_header(head: bytes) -> tuple[int, str | None]:
    """Where the header starts, behind blank lines, a line `sep=;` and comments; and the delimiter of that line."""
    start = len(codecs.BOM_UTF8) if head.startswith(codecs.BOM_UTF8) else 0
    start = _end(_BLANKS, head, start)
    hint = _HINT.match(head, start)
    start = hint.end() if hint else start
    comment = None
    while match := _COMMENT.match(head, start):
        comment, start = match, match.end()
    if comment and _names_smiles(comment[1]) and not _names_smiles(head[start:]):
        start = comment.start(1)
    return start, hint[2].decode() if hint else None


def _end(pattern: re.Pattern[bytes], text: bytes, start: int) -> int:
    match = pattern.match(text, start)
    return match.end() if match else start


def _names_smiles(text: bytes) -> bool:
    """Whether the first line of text has a cell that usually names a column of SMILES."""
    line = re.split(rb"[\r\n]", text, maxsplit=1)[0].decode("latin-1").lower()
    return any(folded(cell) in USUAL_SMILES for cell in re.split(f"[{DELIMITERS}]", line))


def _recode(file: UnpackedFile, encoding: str) -> IO[bytes]:
    return io.BufferedReader(_Utf8Stream(file, encoding), _CHARACTERS_AT_ONCE)


class _Utf8Stream(io.RawIOBase):
    """Text of another encoding as bytes of UTF-8."""

    def __init__(self, file: UnpackedFile, encoding: str) -> None:
        self._path, self._text, self._rest = file.path, io.TextIOWrapper(file.open(), encoding, newline=""), b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._rest:
            try:
                self._rest = self._text.read(_CHARACTERS_AT_ONCE).encode()
            except UnicodeDecodeError as error:
                raise InputError(
                    f"data.source: {self._path} is damaged {self._text.encoding} text ({error})."
                ) from error
        count = min(len(buffer), len(self._rest))
        buffer[:count], self._rest = self._rest[:count], self._rest[count:]
        return count

    def close(self) -> None:
        self._text.close()
        super().close()
