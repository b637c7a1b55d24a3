"""A server on 127.0.0.1 that answers with an ETag."""

from __future__ import annotations

import base64
import http.server
from collections.abc import Iterator
from contextlib import contextmanager

from tests.fakes.serving import serving


@contextmanager
def tagged_server(
    content: bytes, tag: str, *, busy: int = 0, password: str | None = None
) -> Iterator[tuple[str, list[int]]]:
    """Serve `content` with an ETag, and yield the address and the statuses sent so far.

    The first `busy` requests get 429 and must wait for a second. With a `password`, only the user `robot` may read.
    """
    wanted = f"Basic {base64.b64encode(f'robot:{password}'.encode()).decode()}" if password else None
    statuses: list[int] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            status = 304 if self.headers.get("If-None-Match") == tag else 200
            status = 429 if len(statuses) < busy else status
            status = status if self.headers.get("Authorization") == wanted else 401
            statuses.append(status)
            self.send_response(status)
            self.send_header("ETag", tag)
            self.send_header("Retry-After", "1")
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content) if status == 200 else 0))
            self.end_headers()
            if status == 200:
                self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None: ...

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    with serving(server):
        yield f"http://127.0.0.1:{server.server_port}", statuses
