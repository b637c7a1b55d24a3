"""A private engine that runs: a process of its own `dockerd`, and a socket that answers about its space."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote_plus

from rtbuild.engine import private
from tests.fakes.docker_command import FakeDocker
from tests.fakes.docker_socket import SocketDaemon, SocketHandler


class EngineDaemon(SocketDaemon):
    """The daemon's build cache and images without names, in bytes, and the requests to remove them."""

    def __init__(self, socket: Path) -> None:
        super().__init__(socket, _Handler)
        self.build_cache = [3_000_000, 500_000]
        self.unnamed_images = 2_000_000
        self.posts: list[str] = []


class _Handler(SocketHandler):
    def get(self) -> None:
        cache = [{"ID": str(number), "Size": size} for number, size in enumerate(self.server.daemon.build_cache)]
        self.json(200, {"BuildCache": cache} if self.path.endswith("/system/df") else {})

    def do_POST(self) -> None:
        daemon: EngineDaemon = self.server.daemon
        request = self.path.split("/", 2)[2]
        daemon.posts.append(unquote_plus(request))
        verb = request.partition("?")[0]
        reclaimed = {"build/prune": sum(daemon.build_cache), "images/prune": daemon.unnamed_images}
        self.json(200, {"SpaceReclaimed": reclaimed[verb]})


@contextmanager
def running_engine(folder: Path) -> Iterator[EngineDaemon]:
    """Run a private engine in `folder` until the block ends. Needs root, as every private engine does."""
    status = private.status(folder)
    socket = Path(status.host.removeprefix("unix://"))
    program = status.folder / "root/usr/sbin/dockerd"
    for path in (program, status.docker, socket):
        path.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(shutil.which("sleep", path="/usr/bin:/bin") or "", program)
    status.docker.symlink_to(FakeDocker(folder.parent / "private", host=status.host).install() / "docker")
    process = subprocess.Popen([program, "600"])
    try:
        (status.folder / "dockerd.pid").write_text(str(process.pid))
        with EngineDaemon(socket) as daemon:
            yield daemon
    finally:
        process.kill()
        process.wait()
        socket.unlink(missing_ok=True)
        if socket.parent != status.folder:
            shutil.rmtree(socket.parent)  # a path that is too long for a socket is replaced by one below /run
