"""Download a table once, go on where a cut download stopped, and notice later if the file changed."""

from __future__ import annotations

import gzip
import json
import logging
import zlib
from pathlib import Path

from base.atomic_file import write_json
from base.errors import InputError
from base.process_lock import hold_alone

_log = logging.getLogger("tailmol")

_TIMEOUT_SECONDS = 30
# A cut loses what has been received of the last piece.
_BYTES_PER_PIECE = 1 << 16
_GZIP_START = b"\x1f\x8b"


def stored_table(path: Path) -> Path | None:
    """The file at `path`, or the same with `.gz` behind its name, or None where there is neither."""
    return next((file for file in (path, _gzip_path(path)) if file.is_file()), None)


def fetch_table(address: str, path: Path, expected_rows: int) -> Path:
    """The table at `path`, downloaded first where it is missing.

    The SHA-256 of a file, downloaded or put there by hand, is recorded beside it at its first use and checked at each
    later one; it is computed again only if the file's size or time changed. One process downloads while others wait.

    Args:
        address: Where the file is served over HTTP.
        path: Where it goes. A gzip-compressed file gets `.gz` behind this name.
        expected_rows: Another number is worth a warning, at the first use.

    Returns:
        The path of the file.

    Raises:
        InputError: If it cannot be downloaded or stored, or is no longer the file that was recorded.
    """
    try:
        found = stored_table(path)
        if found is not None and _is_as_recorded(found):
            return found
        path.parent.mkdir(parents=True, exist_ok=True)
        with hold_alone(path.with_name(f"{path.name}.lock"), f"downloads {path.name}"):
            missing = stored_table(path) is None
            if missing:
                _download(address, path)
            file = _named_by_content(stored_table(path) or path)
            _verify(file, expected_rows, downloaded=missing)
            return file
    except OSError as error:
        raise InputError(f"data.cache_folder: {path.parent} cannot be used ({error}).") from error


def _download(address: str, path: Path) -> None:
    import pooch
    import requests
    import urllib3

    _log.info(f"Downloading {address} to {path}.")
    pooch.get_logger().setLevel(logging.WARNING)
    downloader = _ResumingDownloader(path.with_name(f"{path.name}.part"))
    try:
        pooch.retrieve(address, known_hash=None, fname=path.name, path=path.parent, downloader=downloader)
    except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
        raise InputError(
            f"data.source: {address} could not be downloaded ({_root_cause(error)}); try again, or put the file at "
            f"{path}."
        ) from error


class _ResumingDownloader:
    """A downloader for pooch that keeps what it received until the file is whole."""

    def __init__(self, part: Path) -> None:
        self._part = part

    def __call__(self, url: str, output_file: str, pooch: object) -> None:
        """Download `url` to `output_file`; every attempt that gets further than the one before earns another."""
        import requests
        import urllib3

        while True:
            before = self._size()
            try:
                self._receive(url)
                break
            except (requests.RequestException, urllib3.exceptions.HTTPError):
                if self._size() <= before:
                    raise
        self._part.replace(output_file)

    def _size(self) -> int:
        return self._part.stat().st_size if self._part.is_file() else 0

    def _receive(self, url: str) -> None:
        import requests
        from tqdm import tqdm

        start = self._size()
        # Harvard Dataverse turns away the name that requests gives itself. A part can only be continued in the
        # encoding that it was begun in.
        headers = {"User-Agent": "tailmol", "Accept-Encoding": "identity"}
        if start:
            headers["Range"] = f"bytes={start}-"
        with requests.get(url, headers=headers, stream=True, timeout=_TIMEOUT_SECONDS) as response:
            continues = response.headers.get("Content-Range", "").startswith(f"bytes {start}-")
            if start and (response.status_code == 416 or (response.status_code == 206 and not continues)):
                self._part.unlink()
                return self._receive(url)
            response.raise_for_status()
            if response.headers.get("Content-Type", "").startswith("text/html"):
                raise requests.RequestException("a web page came where a table was expected")
            start = start if response.status_code == 206 else 0
            length = response.headers.get("Content-Length")
            bar = tqdm(
                total=None if length is None else start + int(length),
                initial=start,
                desc=self._part.stem,
                unit="B",
                unit_scale=True,
                leave=False,
                disable=None,
            )
            with bar, self._part.open("ab" if start else "wb") as file:
                for piece in response.raw.stream(_BYTES_PER_PIECE, decode_content=False):
                    file.write(piece)
                    bar.update(len(piece))


def _root_cause(error: BaseException) -> str:
    import requests

    if isinstance(error, requests.HTTPError) and error.response is not None:
        return f"HTTP {error.response.status_code} {error.response.reason}"
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    return str(error)


def _named_by_content(file: Path) -> Path:
    """The path of the file, renamed where it is gzip-compressed without saying so."""
    with file.open("rb") as content:
        if file.suffix == ".gz" or content.read(len(_GZIP_START)) != _GZIP_START:
            return file
    return file.replace(_gzip_path(file))


def _verify(file: Path, expected_rows: int, downloaded: bool) -> None:
    """Compare the file with its record, or make the record."""
    import pooch

    record, recorded = _record_path(file), _recorded(file)
    checksum = pooch.file_hash(str(file), alg="sha256")
    if recorded is not None and recorded["sha256"] != checksum:
        if not downloaded:
            raise InputError(
                f"data.source: {file} has changed (SHA-256 {checksum[:12]}..., at its first use "
                f"{str(recorded['sha256'])[:12]}...); delete it to download it again, or delete {record} to keep it."
            )
        _log.warning(f"{file} is not the file that was downloaded before; results may differ.")
    if recorded is None or downloaded:
        rows = _count_rows(file)
        if rows != expected_rows:
            _log.warning(f"{file} has {rows:,} rows; {expected_rows:,} were expected.")
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
        raise InputError(f"data.source: {path} is damaged; delete it to accept {file} as it is.") from error


def _size_and_time(file: Path) -> dict[str, int]:
    status = file.stat()
    return {"size": status.st_size, "time": status.st_mtime_ns}


def _record_path(file: Path) -> Path:
    return file.with_name(f"{file.name}.json")


def _gzip_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.gz")


def _count_rows(file: Path) -> int:
    """Lines after the header that are not blank."""
    try:
        with gzip.open(file) if file.suffix == ".gz" else file.open("rb") as lines:
            return sum(1 for line in lines if line.strip()) - 1
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError(
            f"data.source: {file} is not a whole gzip file ({error}); delete it to download it again."
        ) from error
