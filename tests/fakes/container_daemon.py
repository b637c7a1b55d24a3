"""A Docker daemon on a Unix socket that pretends to run containers of its only image, `one`.

with ContainerDaemon(folder / "docker.sock") as daemon:
    daemon.script = Script(output=[(1, b"out"), (2, b"err")], exit_code=3)   # how the next commands end
    daemon.calls              # the requests: "create", "start", "kill SIGTERM", ...
    daemon.created            # the settings of the last container
"""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.fakes.docker_socket import SocketDaemon, SocketHandler

CONTAINER = "c" * 64
EXEC = "e" * 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """What a command writes (1 is standard output, 2 standard error), and how it ends."""

    output: list[tuple[int, bytes]] = field(default_factory=list)
    exit_code: int = 0
    hangs: bool = False
    """It runs until it is killed."""
    refuses: str = ""
    """The error that the daemon answers instead of starting it."""


class ContainerDaemon(SocketDaemon):
    """The requests to the daemon, and its container."""

    def __init__(self, socket: Path) -> None:
        super().__init__(socket, _Handler)
        self.script = Script()
        self.calls: list[str] = []
        self.created: dict[str, Any] = {}
        self.code: int | None = None
        """The exit code of the container; None while it runs."""
        self.started = threading.Event()
        self.ended = threading.Event()

    def release(self) -> None:
        self.started.set()
        self.ended.set()

    def end(self, code: int) -> None:
        """End the container's command."""
        if self.code is None:
            self.code = code
        self.ended.set()


class _Handler(SocketHandler):
    def get(self) -> None:
        daemon: ContainerDaemon = self.server.daemon
        verb = self._verb()
        if "/exec/" in self.path:
            self.json(200, {"ExitCode": daemon.script.exit_code})
        elif verb == "logs":
            frames = b"".join(_frame(stream, content) for stream, content in daemon.script.output)
            self.answer(200, frames, "application/vnd.docker.multiplexed-stream")
        else:
            # The SDK reads a container's configuration to know whether it has a terminal
            state = {"Running": daemon.code is None, "ExitCode": daemon.code or 0}
            self.json(200, {"State": state, "Config": {"Tty": False}})

    def do_POST(self) -> None:
        daemon, verb = self.server.daemon, self._verb()
        content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if verb == "create":
            document = json.loads(content)
            if document["Image"] != "one":
                self.json(404, {"message": f"No such image: {document['Image']}"})
                return
            daemon.calls.append("create")
            daemon.created = document
            self.json(201, {"Id": CONTAINER, "Warnings": []})
        elif verb == "attach":
            self._hijack(until=daemon.ended, after=daemon.started)
        elif verb == "exec":
            daemon.calls.append(f"exec {' '.join(json.loads(content)['Cmd'])}")
            self.json(201, {"Id": EXEC})
        elif "/exec/" in self.path:
            self._hijack(until=daemon.ended if daemon.script.hangs else None)
        elif verb == "start":
            daemon.calls.append("start")
            if daemon.script.refuses:
                self.json(400, {"message": daemon.script.refuses})
                return
            daemon.started.set()
            if not daemon.script.hangs:
                daemon.end(daemon.script.exit_code)
            self.json(204, None)
        elif verb == "wait":
            daemon.ended.wait()
            self.json(200, {"StatusCode": daemon.code})
        else:
            query = parse_qs(urlsplit(self.path).query)
            daemon.calls.append(" ".join([verb, *(value for values in query.values() for value in values)]))
            daemon.end(143 if verb == "stop" else 137)
            self.json(204, None)

    def do_DELETE(self) -> None:
        daemon = self.server.daemon
        daemon.calls.append("remove")
        daemon.end(137)
        self.json(204, None)

    def _verb(self) -> str:
        return urlsplit(self.path).path.rpartition("/")[2]

    def _hijack(self, *, until: threading.Event | None, after: threading.Event | None = None) -> None:
        """Use the connection for the output of a command, as Docker does."""
        upgrade = "Upgrade" in self.headers
        self.wfile.write(b"HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\n" if upgrade else b"HTTP/1.1 200 OK\r\n")
        self.wfile.write(b"Content-Type: application/vnd.docker.multiplexed-stream\r\n\r\n")
        self.wfile.flush()
        if after:
            after.wait()
        for stream, content in self.server.daemon.script.output:
            self.wfile.write(_frame(stream, content))
        self.wfile.flush()
        if until:
            until.wait()
        self.close_connection = True


def _frame(stream: int, content: bytes) -> bytes:
    return bytes([stream, 0, 0, 0]) + len(content).to_bytes(4, "big") + content
