"""Refuse files in formats that are known and not read, with what to do instead."""

from __future__ import annotations

import re

from base.errors import InputError
from datamodules.tables.packed_file import UnpackedFile

_AS_CSV = "save its table as CSV (UTF-8)"
_FORMATS = [
    (rb"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an Excel or other office file", "save its sheet as CSV (UTF-8)"),
    (rb"\x28\xb5\x2f\xfd", "packed with zstd, which is not read", "unpack it with zstd -d"),
    (rb"7z\xbc\xaf\x27\x1c|Rar!\x1a\x07|.{257}ustar", "an archive of a kind that is not read", "unpack it"),
    (rb"ARROW1\0\0|FEA1", "an Arrow or Feather file", "save it as Parquet"),
    (rb"\x89HDF\r\n\x1a\n", "an HDF5 file", _AS_CSV),
    (rb"SQLite format 3\0", "an SQLite database", _AS_CSV),
    (rb"%PDF-", "a PDF document", _AS_CSV),
    (rb"\x93NUMPY", "a single array", "write features and labels with numpy.savez, as .npz"),
    (rb"\x80[\x02-\x05]", "a pickle, which is never read", _AS_CSV),
    (rb"(?i:(\xef\xbb\xbf)?\s*<(!doctype|html|\?xml))", "a web page or XML", "download or save the table itself"),
    (rb"([^\n]*\n){3}[ \d]{30,33} *V[23]000", "an SD or mol file", "write its molecules as SMILES to a CSV file"),
]


def refuse_other_formats(file: UnpackedFile) -> None:
    """Refuse content that is neither text nor Parquet, where its first bytes say what it is.

    Args:
        file: The file.

    Raises:
        InputError: If the content is in such a format.
    """
    for start, what, advice in _FORMATS:
        if re.match(start, file.head, re.DOTALL):
            raise InputError(f"data.source: {file.path} is {what}; {advice}.")
