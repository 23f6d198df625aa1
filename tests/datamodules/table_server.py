"""A server on this machine that behaves as servers of large files do, well and badly."""

from __future__ import annotations

import re
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class TableServer:
    """Serves one file under every address.

    Attributes:
        body: The file.
        headers: Sent beside those that describe the length.
        status: Sent instead of the file, if it is an error.
        ranges: honored: a requested range is served; ignored: the whole file is; wrong: another range is.
        cut_at: Where connections break, counted from the start of the file; None where they hold.
        cuts: How many connections break.
        seconds: Waited before each answer.
        asked: The headers of each request.
    """

    def __init__(self, body: bytes) -> None:
        """Start serving.

        Args:
            body: The file.
        """
        self.body = body
        self.headers: dict[str, str] = {}
        self.status = 200
        self.ranges = "honored"
        self.cut_at: int | None = None
        self.cuts = 1_000
        self.seconds = 0.0
        self.asked: list[dict[str, str]] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    @property
    def address(self) -> str:
        """Where the file is."""
        return f"http://127.0.0.1:{self._server.server_port}/datafile/1"

    def close(self) -> None:
        """Stop, so that connections are refused."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _handler(table: TableServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            table.asked.append(dict(self.headers))
            time.sleep(table.seconds)
            # As Harvard Dataverse does.
            if self.headers.get("User-Agent", "").startswith("python-requests"):
                return self.send_error(403)
            if table.status != 200:
                return self.send_error(table.status)
            asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
            start = int(asked[1]) if asked and table.ranges != "ignored" else 0
            if start >= len(table.body) > 0:
                return self.send_error(416)
            served = 0 if table.ranges == "wrong" else start
            self.send_response(206 if start else 200)
            if start:
                self.send_header("Content-Range", f"bytes {served}-{len(table.body) - 1}/{len(table.body)}")
            for name, value in {"Content-Length": str(len(table.body) - served), **table.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            stop = None
            if table.cut_at is not None and table.cuts > 0:
                stop, table.cuts, self.close_connection = table.cut_at, table.cuts - 1, True
            self.wfile.write(table.body[served:stop])

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    return Handler
