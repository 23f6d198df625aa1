"""Downloads a table once, resumes an interrupted download, and detects later changes of the file."""

from __future__ import annotations

import gzip
import hashlib
import json
import logging
import os
import zlib
from pathlib import Path

from base.atomic_file import write_json
from base.errors import InputError
from base.process_lock import exclusive_lock

_log = logging.getLogger("tailmol")

_TIMEOUT_SECONDS = 30
# An interruption loses what was received of the last piece.
_BYTES_PER_PIECE = 1 << 16
_GZIP_START = b"\x1f\x8b"


def stored_table(path: Path) -> Path | None:
    """The file at `path` or, compressed, at `path` with the suffix `.gz`; None if there is neither."""
    return next((file for file in (path, _gzip_path(path)) if file.is_file()), None)


def fetch_table(address: str, path: Path, expected_rows: int) -> Path:
    """Return the path of a table, which is downloaded if it is missing.

    The SHA-256 of the file, whether downloaded or put there by hand, is recorded at its first use and checked at each
    later one; it is computed again only if the size or time of the file has changed. One process downloads while others
    wait.

    Args:
        address: URL of the file.
        path: Path of the file; the suffix `.gz` is added if it is compressed with gzip.
        expected_rows: Number of rows; a different number causes a warning at the first use.

    Raises:
        InputError: If the file cannot be downloaded or stored, or has changed since its first use.
    """
    try:
        found = stored_table(path)
        if found is not None and _is_as_recorded(found):
            return found
        path.parent.mkdir(parents=True, exist_ok=True)
        with exclusive_lock(path.with_name(f"{path.name}.lock"), f"downloads {path.name}"):
            missing = stored_table(path) is None
            if missing:
                _download(address, path)
            file = _named_by_content(stored_table(path) or path)
            _verify(file, expected_rows, downloaded=missing)
            return file
    except OSError as error:
        raise InputError(f"data.cache_folder: {path.parent} cannot be used ({error}).") from error


def _download(address: str, path: Path) -> None:
    import requests
    import urllib3

    _log.info(f"Downloading {address} to {path}.")
    part = path.with_name(f"{path.name}.part")
    try:
        _receive_all(address, part)
    except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
        raise InputError(
            f"data.source: {address} could not be downloaded ({_root_cause(error)}); try again, or put the file at "
            f"{path}."
        ) from error
    part.replace(path)


def _receive_all(address: str, part: Path) -> None:
    """Download to `part`, and try again as long as each attempt gets further than the one before."""
    import requests
    import urllib3

    while True:
        before = _size(part)
        try:
            return _receive(address, part)
        except (requests.RequestException, urllib3.exceptions.HTTPError):
            if _size(part) <= before:
                raise


def _receive(address: str, part: Path) -> None:
    """Append the rest of a file to `part`, or write all of it if the server does not serve the rest."""
    import requests
    from tqdm import tqdm

    start = _size(part)
    # Harvard Dataverse rejects the default user agent of requests. A part can only be continued in the encoding in
    # which it was begun.
    headers = {"User-Agent": "tailmol", "Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
    with requests.get(address, headers=headers, stream=True, timeout=_TIMEOUT_SECONDS) as response:
        continues = response.headers.get("Content-Range", "").startswith(f"bytes {start}-")
        if start and (response.status_code == 416 or (response.status_code == 206 and not continues)):
            part.unlink()
            return _receive(address, part)
        response.raise_for_status()
        if response.headers.get("Content-Type", "").startswith("text/html"):
            raise requests.RequestException("expected a table, got a web page")
        start = start if response.status_code == 206 else 0
        length = response.headers.get("Content-Length")
        bar = tqdm(
            total=None if length is None else start + int(length),
            initial=start,
            desc=part.stem,
            unit="B",
            unit_scale=True,
            leave=False,
            disable=None,
        )
        with bar, part.open("ab" if start else "wb") as file:
            for piece in response.raw.stream(_BYTES_PER_PIECE, decode_content=False):
                file.write(piece)
                bar.update(len(piece))
            # Otherwise the name of the whole table could reach the disk before its content.
            file.flush()
            os.fsync(file.fileno())


def _size(part: Path) -> int:
    return part.stat().st_size if part.is_file() else 0


def _root_cause(error: BaseException) -> str:
    import requests

    if isinstance(error, requests.HTTPError) and error.response is not None:
        return f"HTTP {error.response.status_code} {error.response.reason}"
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    return str(error)


def _named_by_content(file: Path) -> Path:
    """The path of the file, after adding the suffix `.gz` if it is compressed without it."""
    with file.open("rb") as content:
        if file.suffix == ".gz" or content.read(len(_GZIP_START)) != _GZIP_START:
            return file
    return file.replace(_gzip_path(file))


def _verify(file: Path, expected_rows: int, downloaded: bool) -> None:
    """Compare the file with its record, or create the record."""
    record, recorded = _record_path(file), _recorded(file)
    with file.open("rb") as content:
        checksum = hashlib.file_digest(content, "sha256").hexdigest()
    if recorded is not None and recorded["sha256"] != checksum:
        if not downloaded:
            raise InputError(
                f"data.source: expected {file} with SHA-256 {str(recorded['sha256'])[:12]}... as at its first use, got "
                f"{checksum[:12]}...; delete it to download it again, or delete {record} to keep it."
            )
        _log.warning(f"{file} differs from the file that was downloaded before; results may differ.")
    if recorded is None or downloaded:
        rows = _count_rows(file)
        if rows != expected_rows:
            _log.warning(f"{file}: expected {expected_rows:,} rows, got {rows:,}.")
    write_json({"sha256": checksum, **_size_and_time(file)}, record)


def _is_as_recorded(file: Path) -> bool:
    recorded = _recorded(file)
    return recorded is not None and _size_and_time(file).items() <= recorded.items()


def _recorded(file: Path) -> dict[str, str | int] | None:
    path = _record_path(file)
    if not path.is_file():
        return None
    try:
        recorded = json.loads(path.read_text())
        return {"sha256": recorded["sha256"], "size": recorded["size"], "time": recorded["time"]}
    except (ValueError, TypeError, KeyError) as error:
        raise InputError(f"data.source: {path} is not a valid record; delete it to accept {file} as it is.") from error


def _size_and_time(file: Path) -> dict[str, int]:
    status = file.stat()
    return {"size": status.st_size, "time": status.st_mtime_ns}


def _record_path(file: Path) -> Path:
    return file.with_name(f"{file.name}.json")


def _gzip_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.gz")


def _count_rows(file: Path) -> int:
    """Number of lines after the header that are not blank."""
    try:
        with gzip.open(file) if file.suffix == ".gz" else file.open("rb") as lines:
            return sum(1 for line in lines if line.strip()) - 1
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError(
            f"data.source: {file} is not a valid gzip file ({error}); delete it to download it again."
        ) from error
