"""A Docker daemon on a Unix socket that knows how to load, inspect and save images, and to refuse.

with DockerDaemon(folder / "docker.sock") as daemon:
    Endpoint(docker=..., host=daemon.host)
    daemon.loaded              # the tar that was loaded
    daemon.images["name"]      # what inspecting says; a test puts it there
"""

from __future__ import annotations

import json
import socketserver
import threading
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import unquote, urlsplit


class DockerDaemon:
    """What the daemon knows and was given."""

    def __init__(self, socket: Path) -> None:
        self.host = f"unix://{socket}"
        self.images: dict[str, dict[str, Any]] = {}
        self.saved: dict[str, bytes] = {}
        self.loaded = b""
        self.load_answer: list[dict[str, str]] = [{"stream": "Loaded image"}]
        self._server = _Server(str(socket), self)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})

    def __enter__(self) -> DockerDaemon:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Server(socketserver.ThreadingUnixStreamServer):
    def __init__(self, path: str, daemon: DockerDaemon) -> None:
        self.daemon = daemon
        super().__init__(path, _Handler)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_GET(self) -> None:
        daemon = self.server.daemon
        parts = [unquote(part) for part in urlsplit(self.path).path.split("/")]
        if parts[-1] == "_ping":
            self._answer(200, "text/plain", b"OK")
        elif parts[-1] == "version":
            self._json(200, {"ApiVersion": "1.45", "MinAPIVersion": "1.24"})
        elif parts[-1] == "json" and (name := "/".join(parts[3:-1])) in daemon.images:
            self._json(200, daemon.images[name])
        elif parts[-1] == "get" and (name := "/".join(parts[3:-1])) in daemon.saved:
            self._answer(200, "application/x-tar", daemon.saved[name])
        else:
            self._json(404, {"message": "No such image"})

    def do_POST(self) -> None:
        daemon = self.server.daemon
        content = b""
        while size := int(self.rfile.readline(), 16):
            content += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        daemon.loaded = content
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for answer in (*daemon.load_answer, None):
            line = json.dumps(answer).encode() + b"\r\n" if answer else b""
            self.wfile.write(b"%x\r\n%s\r\n" % (len(line), line))

    def do_DELETE(self) -> None:
        name = unquote(urlsplit(self.path).path).split("/", 3)[3]
        known = self.server.daemon.images.pop(name, None)
        self._json(200 if known else 404, [] if known else {"message": "No such image"})

    def _json(self, status: int, value: object) -> None:
        self._answer(status, "application/json", json.dumps(value).encode())

    def _answer(self, status: int, kind: str, content: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def address_string(self) -> str:
        return "client"

    def log_message(self, format: str, *args: object) -> None: ...
