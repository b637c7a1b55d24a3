"""The common part of fake Docker daemons on a Unix socket: the server, and the first requests of a client."""

from __future__ import annotations

import json
import socketserver
import sys
import threading
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from types import TracebackType
from typing import Any, Self


class SocketDaemon:
    """A daemon that answers at `host` until its block ends; `handler` answers one connection."""

    def __init__(self, socket: Path, handler: type[SocketHandler]) -> None:
        self.host = f"unix://{socket}"
        self._server = SocketServer(str(socket), handler, self)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def release(self) -> None:
        """End whatever keeps an answer waiting."""


class SocketServer(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True

    def __init__(self, path: str, handler: type[SocketHandler], daemon: SocketDaemon) -> None:
        self.daemon: Any = daemon
        super().__init__(path, handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        # A client that only pings the daemon closes the connection while the answer is on its way.
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class SocketHandler(BaseHTTPRequestHandler):
    """Answers pings and requests for the version; subclasses answer the rest."""

    protocol_version = "HTTP/1.1"
    server: SocketServer

    def do_GET(self) -> None:
        verb = self.path.partition("?")[0].rpartition("/")[2]
        if verb == "_ping":
            self.answer(200, b"OK", "text/plain")
        elif verb == "version":
            self.json(200, {"ApiVersion": "1.45", "MinAPIVersion": "1.24"})
        else:
            self.get()

    def get(self) -> None:
        """Answer a GET."""
        raise NotImplementedError

    def json(self, status: int, value: object) -> None:
        """Answer with `value`; None is no content."""
        self.answer(status, b"" if value is None else json.dumps(value).encode(), "application/json")

    def answer(self, status: int, content: bytes, kind: str) -> None:
        """Answer with `content` of media type `kind`."""
        self.send_response(status)
        self.send_header("Content-Type", kind)
        if status != 204:
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def address_string(self) -> str:
        return "client"

    def log_message(self, format: str, *args: object) -> None: ...
