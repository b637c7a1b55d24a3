"""A Docker daemon on a Unix socket that loads, inspects and removes images.

with DockerDaemon(folder / "docker.sock") as daemon:
    Endpoint(docker=..., host=daemon.host)
    daemon.loaded              # the tar that was loaded
    daemon.images["name"]      # the answer to inspecting it; a test puts it there
    daemon.saved["name"]       # the tar that saving it gives; a test puts it there
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from tests.fakes.docker_socket import SocketDaemon, SocketHandler


class DockerDaemon(SocketDaemon):
    """The images of the daemon, and the tar that it was given."""

    def __init__(self, socket: Path) -> None:
        super().__init__(socket, _Handler)
        self.images: dict[str, dict[str, Any]] = {}
        self.saved: dict[str, bytes] = {}
        self.loaded = b""
        self.load_answer: list[dict[str, str]] = [{"stream": "Loaded image"}]


class _Handler(SocketHandler):
    def get(self) -> None:
        daemon: DockerDaemon = self.server.daemon
        parts = [unquote(part) for part in urlsplit(self.path).path.split("/")]
        if parts[-1] == "json" and (name := "/".join(parts[3:-1])) in daemon.images:
            self.json(200, daemon.images[name])
        elif parts[-1] == "get" and (name := "/".join(parts[3:-1])) in daemon.saved:
            self.send_response(200)
            self.send_header("Content-Length", str(len(daemon.saved[name])))
            self.end_headers()
            self.wfile.write(daemon.saved[name])
        else:
            self.json(404, {"message": "No such image"})

    def do_POST(self) -> None:
        daemon = self.server.daemon
        content = b""
        while size := int(self.rfile.readline() or b"0", 16):  # an upload that breaks off ends here too
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
        self.json(200 if known else 404, [] if known else {"message": "No such image"})
