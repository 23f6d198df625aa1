"""Tables that are downloaded once, and what can go wrong."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import random
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from base.errors import InputError
from datamodules.datasets import table_download
from datamodules.datasets.table_download import fetch_table, stored_table
from datamodules.tables.table_file import open_table
from tests.datamodules.table_server import TableServer

ROWS = 6_000
_RANDOM = random.Random(0)
# Large enough for a part of it to be received before a cut.
TABLE = b"ID\tX\tY\n" + b"".join(
    b"drug_%d\t%s\t%d\n" % (row, bytes(_RANDOM.choices(b"CNOPS", k=_RANDOM.randint(20, 60))), row % 3)
    for row in range(ROWS)
)
SMALL = b"ID\tX\tY\na\tCC\t0\nb\tCO\t1\n"


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def server() -> Iterator[TableServer]:
    table = TableServer(TABLE)
    yield table
    table.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "datasets" / "hiv.tab"


@pytest.fixture
def nowhere() -> str:
    """An address where nothing listens."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{listener.getsockname()[1]}/datafile/1"


def test_a_table_is_downloaded_and_its_checksum_recorded(server: TableServer, path: Path) -> None:
    assert stored_table(path) is None
    assert fetch_table(server.address, path, ROWS) == path == stored_table(path)
    assert path.read_bytes() == TABLE
    recorded = json.loads((path.parent / "hiv.tab.json").read_text())
    assert recorded["sha256"] == hashlib.sha256(TABLE).hexdigest()
    assert {file.name for file in path.parent.iterdir()} - {"hiv.tab.lock"} == {"hiv.tab", "hiv.tab.json"}
    assert [headers["Accept-Encoding"] for headers in server.asked] == ["identity"]


def test_the_second_use_needs_no_network_and_reads_nothing(
    server: TableServer, path: Path, nowhere: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetch_table(server.address, path, ROWS)
    monkeypatch.setattr("hashlib.file_digest", lambda *_, **__: pytest.fail("the file was read again"))
    assert fetch_table(nowhere, path, ROWS) == path


def test_a_cut_download_goes_on_where_it_stopped(server: TableServer, path: Path) -> None:
    server.cut_at, server.cuts = len(TABLE) // 2, 1
    fetch_table(server.address, path, ROWS)
    assert path.read_bytes() == TABLE
    first, second = server.asked
    assert "Range" not in first
    assert 0 < int(second["Range"].removeprefix("bytes=").removesuffix("-")) <= len(TABLE) // 2


def test_what_was_received_is_kept_for_the_next_call(server: TableServer, path: Path) -> None:
    server.cut_at = len(TABLE) // 2
    with pytest.raises(InputError, match=r"data.source: http://127.0.0.1:\d+/datafile/1 could not be downloaded"):
        fetch_table(server.address, path, ROWS)
    part = path.with_name("hiv.tab.part")
    received = part.stat().st_size
    assert 0 < received <= len(TABLE) // 2
    assert stored_table(path) is None
    server.cut_at = None
    fetch_table(server.address, path, ROWS)
    assert server.asked[-1]["Range"] == f"bytes={received}-"
    assert path.read_bytes() == TABLE
    assert not part.exists()


@pytest.mark.parametrize("ranges", ["ignored", "wrong"])
def test_a_server_that_does_not_serve_the_rest_is_asked_for_everything(
    server: TableServer, path: Path, ranges: str
) -> None:
    server.ranges, server.cut_at, server.cuts = ranges, len(TABLE) // 2, 1
    fetch_table(server.address, path, ROWS)
    assert path.read_bytes() == TABLE


def test_a_part_that_is_longer_than_the_file_is_dropped(server: TableServer, path: Path) -> None:
    path.parent.mkdir(parents=True)
    path.with_name("hiv.tab.part").write_bytes(TABLE + b"more")
    fetch_table(server.address, path, ROWS)
    assert path.read_bytes() == TABLE
    assert ["Range" in headers for headers in server.asked] == [True, False]


def test_a_changed_file_is_refused_until_it_or_its_record_is_deleted(server: TableServer, path: Path) -> None:
    fetch_table(server.address, path, ROWS)
    path.write_bytes(SMALL)
    for _ in range(2):
        with pytest.raises(
            InputError, match=r"data.source: expected \S+hiv.tab with SHA-256 .*; delete it to download it again"
        ):
            fetch_table(server.address, path, ROWS)
        assert path.read_bytes() == SMALL
    path.unlink()
    assert fetch_table(server.address, path, ROWS).read_bytes() == TABLE
    path.write_bytes(SMALL)
    path.with_name("hiv.tab.json").unlink()
    assert fetch_table(server.address, path, ROWS).read_bytes() == SMALL
    assert len(server.asked) == 2


def test_a_change_of_the_same_size_is_noticed_and_a_new_time_alone_is_not_a_change(
    server: TableServer, path: Path
) -> None:
    fetch_table(server.address, path, ROWS)
    os.utime(path, (1, 1))
    assert fetch_table(server.address, path, ROWS) == path
    path.write_bytes(TABLE.replace(b"C", b"N", 1))
    with pytest.raises(InputError, match="as at its first use, got"):
        fetch_table(server.address, path, ROWS)


def test_another_file_from_the_same_address_is_worth_a_warning(
    server: TableServer, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    fetch_table(server.address, path, ROWS)
    path.unlink()
    server.body = SMALL
    fetch_table(server.address, path, 2)
    assert [record.getMessage() for record in caplog.records if record.levelname == "WARNING"] == [
        f"{path} differs from the file that was downloaded before; results may differ."
    ]
    assert fetch_table(server.address, path, 2) == path


def test_an_http_error_names_the_address_the_cause_and_the_place_for_the_file(server: TableServer, path: Path) -> None:
    server.status = 404
    with pytest.raises(InputError) as caught:
        fetch_table(server.address, path, ROWS)
    assert str(caught.value) == (
        f"data.source: {server.address} could not be downloaded (HTTP 404 Not Found); try again, or put the file at "
        f"{path}."
    )
    assert len(server.asked) == 1
    assert {file.name for file in path.parent.iterdir()} <= {"hiv.tab.lock"}


def test_a_refused_connection_is_one_sentence(path: Path, nowhere: str) -> None:
    with pytest.raises(
        InputError, match=rf"{nowhere} could not be downloaded \(.*refused\); .* put the file at {path}"
    ):
        fetch_table(nowhere, path, ROWS)


def test_a_server_that_does_not_answer_is_left(
    server: TableServer, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table_download, "_TIMEOUT_SECONDS", 0.1)
    server.seconds = 0.5
    with pytest.raises(InputError, match=r"could not be downloaded \(timed out\)"):
        fetch_table(server.address, path, ROWS)


def test_a_name_that_does_not_resolve_is_one_sentence(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def resolve(*_: object, **__: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    with pytest.raises(InputError, match=r"http://example.org/1 could not be downloaded \(.*not known\)"):
        fetch_table("http://example.org/1", path, ROWS)


def test_a_web_page_is_no_table(server: TableServer, path: Path) -> None:
    server.body, server.headers = b"<html>Sign in</html>", {"Content-Type": "text/html; charset=utf-8"}
    with pytest.raises(InputError, match=r"\(expected a table, got a web page\)"):
        fetch_table(server.address, path, ROWS)
    assert stored_table(path) is None


@pytest.mark.parametrize("name", ["hiv.tab", "hiv.tab.gz"])
def test_a_file_put_there_by_hand_is_accepted_and_recorded(path: Path, nowhere: str, name: str) -> None:
    path.parent.mkdir(parents=True)
    file = path.with_name(name)
    file.write_bytes(gzip.compress(SMALL) if name.endswith(".gz") else SMALL)
    assert fetch_table(nowhere, path, 2) == file
    recorded = json.loads(file.with_name(f"{name}.json").read_text())
    assert recorded["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()


@pytest.mark.parametrize("body", [TABLE, TABLE.removesuffix(b"\n"), TABLE + b"\n"])
def test_the_expected_number_of_rows_is_worth_no_word(
    server: TableServer, path: Path, body: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    server.body = body
    fetch_table(server.address, path, ROWS)
    assert not [record for record in caplog.records if record.levelname == "WARNING"]


def test_another_number_of_rows_is_warned_of_once(
    server: TableServer, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for time in (1, 2):
        fetch_table(server.address, path, 41_127)
        os.utime(path, (time, time))
    fetch_table(server.address, path, 41_127)
    warnings = [record for record in caplog.records if record.levelname == "WARNING"]
    assert [(record.name, record.getMessage()) for record in warnings] == [
        ("tailmol", f"{path}: expected 41,127 rows, got 6,000.")
    ]


@pytest.mark.parametrize("encoding", [{}, {"Content-Encoding": "gzip"}])
@pytest.mark.parametrize("cut", [False, True])
def test_gzip_is_stored_under_a_name_that_says_so(
    server: TableServer, path: Path, encoding: dict[str, str], cut: bool, caplog: pytest.LogCaptureFixture
) -> None:
    server.body, server.headers = gzip.compress(TABLE, compresslevel=0), encoding
    if cut:
        server.cut_at, server.cuts = len(server.body) // 2, 1
    file = fetch_table(server.address, path, ROWS)
    assert file == path.with_name("hiv.tab.gz") == stored_table(path)
    assert file.read_bytes() == server.body
    assert not path.exists()
    assert open_table(file).rows == ROWS
    assert fetch_table(server.address, path, ROWS) == file
    assert len(server.asked) == 1 + cut
    assert not [record for record in caplog.records if record.levelname == "WARNING"]


def test_gzip_put_there_under_a_plain_name_is_renamed(path: Path, nowhere: str) -> None:
    path.parent.mkdir(parents=True)
    path.write_bytes(gzip.compress(SMALL))
    assert fetch_table(nowhere, path, 2) == path.with_name("hiv.tab.gz")
    assert not path.exists()


def test_half_a_gzip_file_is_one_sentence_at_every_use(path: Path, nowhere: str) -> None:
    path.parent.mkdir(parents=True)
    path.with_name("hiv.tab.gz").write_bytes(gzip.compress(TABLE)[:-100])
    for _ in range(2):
        with pytest.raises(InputError, match=r"hiv.tab.gz is not a valid gzip file \(.*\); delete it"):
            fetch_table(nowhere, path, ROWS)


@pytest.mark.parametrize("content", ["", "{}", "[1]", '{"sha256": "0"}'])
def test_a_damaged_record_is_one_sentence(server: TableServer, path: Path, content: str) -> None:
    fetch_table(server.address, path, ROWS)
    path.with_name("hiv.tab.json").write_text(content)
    with pytest.raises(
        InputError, match=r"hiv.tab.json is not a valid record; delete it to accept \S+hiv.tab as it is"
    ):
        fetch_table(server.address, path, ROWS)


def test_a_cache_that_cannot_be_written_is_the_users_to_mend(server: TableServer, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=rf"data.cache_folder: {tmp_path}/file/datasets cannot be used"):
        fetch_table(server.address, tmp_path / "file" / "datasets" / "hiv.tab", ROWS)


def test_two_at_once_download_once(server: TableServer, path: Path) -> None:
    server.seconds = 0.2
    together = threading.Barrier(2)

    def fetch(_: int) -> Path:
        together.wait()
        return fetch_table(server.address, path, ROWS)

    with ThreadPoolExecutor(2) as threads:
        assert list(threads.map(fetch, range(2))) == [path, path]
    assert len(server.asked) == 1
    assert path.read_bytes() == TABLE
