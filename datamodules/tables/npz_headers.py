"""Check what the headers of an `.npz` file claim before an array is read, since numpy allocates what they claim."""

from __future__ import annotations

import math
import zipfile
from tokenize import TokenError
from typing import IO, Any

import numpy
from numpy.lib import format as npy_format

_MOST_BYTES = 1 << 30
_MOST_TIMES_LARGER = 100
# numpy writes later versions for structures only, and their headers may be of any length.
_VERSION = (1, 0)
_KINDS = "biufcSUmM"


def check_npz_headers(file: IO[bytes]) -> None:
    """Check that every member of an `.npz` file is an array of numbers or text of the size that is stored.

    Args:
        file: The opened file; it is left at its start.

    Raises:
        ValueError: If a member is not such an array, or the arrays take more than a gigabyte and more than a hundred
            times the bytes of the file.
        zipfile.BadZipFile: If the file is no zip file, or is damaged.
    """
    size = file.seek(0, 2)
    with zipfile.ZipFile(file) as archive:
        members = archive.infolist()
        if sum(member.compress_size for member in members) > size:
            raise ValueError("its members take more bytes than it has")
        unpacked = sum(member.file_size for member in members)
        if unpacked > max(_MOST_BYTES, _MOST_TIMES_LARGER * size):
            raise ValueError(
                f"it unpacks from {size} to {unpacked} bytes; arrays that are mostly zeros are sparse matrices"
            )
        for member in members:
            _check_member(archive, member)
    file.seek(0)


def _check_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> None:
    name = member.filename
    if not name.endswith(".npy") or member.flag_bits & 1:
        raise ValueError(f"{name} is not an array")
    with archive.open(member) as content:
        shape, dtype = _read_header(content, name)
        if dtype.kind not in _KINDS:
            raise ValueError(f"{name} holds {'objects' if dtype.hasobject else dtype}, neither numbers nor text")
        if any(length < 0 for length in shape):
            raise ValueError(f"{name} has a shape of {shape}")
        claimed, stored = math.prod(shape) * dtype.itemsize, member.file_size - content.tell()
    if claimed != stored:
        raise ValueError(f"{name} claims {claimed} bytes and has {stored}")


def _read_header(content: IO[bytes], name: str) -> tuple[tuple[int, ...], numpy.dtype[Any]]:
    try:
        if npy_format.read_magic(content) == _VERSION:
            shape, _, dtype = npy_format.read_array_header_1_0(content)
            return shape, dtype
    except (ValueError, TypeError, LookupError, SyntaxError, RecursionError, MemoryError, TokenError) as error:
        raise ValueError(f"the header of {name} is damaged") from error
    raise ValueError(f"{name} has a header as structures have")
