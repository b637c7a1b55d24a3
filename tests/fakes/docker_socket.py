"""What daemons on a Unix socket that answer as Docker's have in common: being there, and the first questions."""

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
    """A daemon that answers at `host` while the `with` lasts; `handler` answers one connection of it."""

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
        self.let_go()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def let_go(self) -> None:
        """End what keeps an answer waiting."""


class SocketServer(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True

    def __init__(self, path: str, handler: type[SocketHandler], daemon: SocketDaemon) -> None:
        self.daemon: Any = daemon
        super().__init__(path, handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        # One who only asks whether anybody is there goes away while the answer is on its way.
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class SocketHandler(BaseHTTPRequestHandler):
    """Says that it is there and which version it has; all else is for `get` and whoever derives from this."""

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
        """Answer with `value`, None being no content at all."""
        self.answer(status, b"" if value is None else json.dumps(value).encode(), "application/json")

    def answer(self, status: int, content: bytes, kind: str) -> None:
        """Answer with `content` of the media type `kind`."""
        self.send_response(status)
        self.send_header("Content-Type", kind)
        if status != 204:
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def address_string(self) -> str:
        return "client"

    def log_message(self, format: str, *args: object) -> None: ...
