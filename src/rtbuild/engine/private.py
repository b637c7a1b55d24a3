"""A private Docker daemon from locked Debian packages, which are unpacked into a folder and not installed.

Removing the folder of a stopped engine removes the engine. `<engine_dir>/<name>/` holds:

| path                         | content                                           |
|------------------------------|---------------------------------------------------|
| `root/`                      | the unpacked packages                             |
| `unpacked`                   | the digest of the packages in `root/`             |
| `programs`                   | the digest of each file in `root/`                |
| `config/`                    | the folder for DOCKER_CONFIG                      |
| `daemon.json`, `dockerd.log` | the daemon's settings and its log                 |
| `data/`                      | images and build cache                            |
| `exec/`                      | state of the running daemon                       |
| `docker.sock`, `dockerd.pid` | the daemon's socket and pid                       |
| `lock`                       | held by the process that starts or stops it       |
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import stat
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from rtbuild.digest import Sha256, canonical_json, sha256_bytes, sha256_file
from rtbuild.engine.daemon import Daemon
from rtbuild.engine.debs import unpack_deb
from rtbuild.engine.endpoint import Endpoint
from rtbuild.engine.ping import answers
from rtbuild.errors import EngineError
from rtbuild.lockfile.model import DebArtifact, EngineLock
from rtbuild.platform import host_platform
from rtbuild.progress import Progress, Silent, unfinished

DEFAULT_NAME = "default"

_PLUGIN = "usr/libexec/docker/cli-plugins/docker-buildx"
_PROGRAMS = ("usr/sbin/dockerd", "usr/bin/docker", "usr/bin/containerd", "usr/bin/containerd-shim-runc-v2", _PLUGIN)
_RUNC = ("usr/sbin/runc", "usr/bin/runc")
_LONGEST_SOCKET = 107
"""Maximum length of a Unix socket's path in bytes (unix(7), without the final zero)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineStatus:
    """The state of a private engine. To use it by hand, set DOCKER_HOST to `host` and DOCKER_CONFIG to `config`."""

    name: str
    folder: Path
    running: bool
    pid: int | None
    """The daemon's process; None unless it runs."""
    host: str
    config: Path
    docker: Path
    """The engine's own docker command."""
    log: Path
    packages: Sha256 | None
    """The digest of the packages that are unpacked; None if there are none. See `packages_digest`."""

    def endpoint(self) -> Endpoint:
        """Return how to talk to the engine."""
        title = f"the private engine {self.name!r}"
        return Endpoint(docker=self.docker, host=self.host, config=self.config, builder="default", title=title)


def start(
    lock: EngineLock,
    find_package: Callable[[Sha256], Path],
    folder: Path,
    *,
    name: str = DEFAULT_NAME,
    progress: Progress | None = None,
    timeout: float = 60.0,
) -> EngineStatus:
    """Start a private engine from the packages of its lock, and return once it answers.

    An engine that runs from these packages is left alone. One that runs from other packages is stopped, unpacked again
    and started; its images and cache stay. What a killed engine left behind is cleaned up.

    Args:
        lock: The engine's lock.
        find_package: Returns the verified file of a locked package.
        folder: The folder of the private engines, `Settings.engine_dir`.
        name: The engine's name.
        progress: Listener for progress; none by default.
        timeout: How many seconds the daemon may take until it answers.

    Raises:
        EngineError: if this machine or user cannot run the engine, or it does not start; the details are the end of
            the daemon's log.
        IntegrityError: if a package is damaged.
    """
    progress = progress or Silent()
    require_host(lock)
    home = _home(folder, name)
    daemon = _daemon(home)
    with _locked(home):
        digest = packages_digest(lock.debs)
        before = _status(home, name)
        if before.packages == digest and before.running and answers(daemon.socket):
            return before
        task = f"engine {name}"
        progress.begin(task)
        try:
            daemon.clean()
            if before.packages != digest or not _is_intact(home):
                _unpack(lock, find_package, home, progress)
            _configure(home)
            daemon.launch(timeout=timeout)
        except BaseException:
            progress.end(task, unfinished())
            raise
        progress.end(task, "running")
        return _status(home, name)


def status(folder: Path, name: str = DEFAULT_NAME) -> EngineStatus:
    """Return the state of the private engine `name` in `folder`, whether it exists or not. Changes nothing.

    Raises:
        EngineError: if the name is not valid.
    """
    return _status(_home(folder, name), name)


def stop(folder: Path, name: str = DEFAULT_NAME) -> EngineStatus:
    """Stop the private engine `name` in `folder` and everything that it started. Its images and cache stay.

    Raises:
        EngineError: if the user is not root, the name is not valid, or a process does not end.
    """
    home = _home(folder, name)
    if not home.is_dir():
        return _status(home, name)
    if os.geteuid() != 0:
        raise EngineError("only root can stop a private engine", hint="run the command with sudo")
    with _locked(home):
        _daemon(home).clean()
        return _status(home, name)


def packages_digest(packages: Iterable[DebArtifact]) -> Sha256:
    """Return the identity of the packages of an engine, whatever else its lock says."""
    return sha256_bytes(canonical_json(sorted([deb.name, deb.version, deb.sha256] for deb in packages)))


def require_host(lock: EngineLock) -> None:
    """Check that this machine and this user can run the engine of `lock`.

    Raises:
        EngineError: if not.
    """
    if sys.platform != "linux":
        raise EngineError("a private engine needs Linux", hint="install Docker, or use another machine's (DOCKER_HOST)")
    if lock.platform != host_platform():
        raise EngineError(
            f"the lock of engine {lock.engine!r} is for {lock.platform}, but this machine is {host_platform()}",
            hint=f"lock the engine for this machine: rtbuild engine lock --name {lock.engine}",
        )
    if os.geteuid() != 0:
        raise EngineError(
            "a private engine needs root to mount file systems and to start containers",
            hint="run the command with sudo, or choose an existing Docker (DOCKER_HOST, DOCKER_CONTEXT, --builder)",
        )


def _home(folder: Path, name: str) -> Path:
    if not name or name.startswith(".") or "/" in name:
        raise EngineError(f"invalid engine name {name!r}", hint="use letters, digits and dashes")
    return folder.resolve() / name


def _status(home: Path, name: str) -> EngineStatus:
    daemon = _daemon(home)
    pid = daemon.daemon_pid()
    try:
        digest: Sha256 | None = Sha256((home / "unpacked").read_text().strip())
    except OSError:
        digest = None
    return EngineStatus(
        name=name,
        folder=home,
        running=pid is not None,
        pid=pid,
        host=f"unix://{daemon.socket}",
        config=daemon.config,
        docker=home / "root/usr/bin/docker",
        log=daemon.log,
        packages=digest,
    )


def _daemon(home: Path) -> Daemon:
    """Return the daemon of the folder `home`. A path that is too long for sockets is replaced by one below /run."""
    runtime = home
    if len(os.fsencode(home / "exec/containerd/containerd-debug.sock.ttrpc")) > _LONGEST_SOCKET:
        runtime = Path("/run/rtbuild") / hashlib.sha256(os.fsencode(home)).hexdigest()[:16]
    return Daemon(
        root=home / "root",
        config=home / "config",
        data=home / "data",
        execution=runtime / "exec",
        socket=runtime / "docker.sock",
        pid_file=home / "dockerd.pid",
        log=home / "dockerd.log",
        settings=home / "daemon.json",
    )


@contextlib.contextmanager
def _locked(home: Path) -> Iterator[None]:
    """Let one process at a time start or stop the engine."""
    try:
        home.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
        home.mkdir(exist_ok=True, mode=0o700)
        _require_own(home)
        file = (home / "lock").open("a")
        home.chmod(0o700)  # those of older versions, and whatever the umask was
    except OSError as error:
        raise EngineError(
            f"cannot write to the engine's folder {home}", details=str(error), hint="check the folder's permissions"
        ) from error
    with file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _require_own(home: Path) -> None:
    """Check that nobody but the user can replace the programs in `home`, which run as root.

    Raises:
        EngineError: if another user can.
        OSError: if the folder cannot be read.
    """
    for folder in (home, home.parent):
        status = folder.stat()
        if status.st_uid not in (0, os.geteuid()):
            who = "is owned by another user"
        elif folder == home.parent and status.st_mode & stat.S_IWOTH and not status.st_mode & stat.S_ISVTX:
            who = "can be written by every user"
        else:
            continue
        raise EngineError(
            f"the engine's folder {folder} {who}, who could replace programs that run as root",
            hint="remove it, or choose another with RTBUILD_ENGINE_DIR",
        )


def _unpack(lock: EngineLock, find_package: Callable[[Sha256], Path], home: Path, progress: Progress) -> None:
    """Unpack the packages into a new root, then replace the old one."""
    new_root = home / "root.new"
    (home / "unpacked").unlink(missing_ok=True)
    shutil.rmtree(new_root, ignore_errors=True)
    new_root.mkdir()
    task = f"unpack engine {lock.engine}"
    progress.begin(task, total=len(lock.debs), unit="packages")

    def unpack(deb: DebArtifact) -> None:
        file = find_package(deb.sha256)
        if not file.is_file():
            raise EngineError(f"engine {lock.engine!r}: {deb.filename} is missing", hint="fetch the engine's packages")
        unpack_deb(file, new_root)
        progress.advance(task)

    try:
        with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
            list(pool.map(unpack, lock.debs))
        _require_programs(new_root, lock)
    except BaseException as error:
        progress.end(task, unfinished())
        shutil.rmtree(new_root, ignore_errors=True)
        if isinstance(error, OSError):
            raise EngineError(
                f"cannot unpack the engine into {home}", details=str(error), hint="check its space and permissions"
            ) from error
        raise
    shutil.rmtree(home / "root", ignore_errors=True)
    new_root.rename(home / "root")
    (home / "programs").write_text(programs_listing(home / "root"))
    (home / "unpacked").write_text(f"{packages_digest(lock.debs)}\n")
    progress.end(task, "unpacked")


def _is_intact(home: Path) -> bool:
    """Return whether the unpacked files are those that were unpacked; they are about to run as root."""
    try:
        return (home / "programs").read_text() == programs_listing(home / "root")
    except OSError:
        return False


def programs_listing(root: Path) -> str:
    """Return the sha256 and the path of every file in `root`, one a line, and where links lead."""
    lines = []
    for path in sorted(root.rglob("*")):
        if path.is_symlink():
            lines.append(f"{path.readlink()} {path.relative_to(root)}\n")
        elif path.is_file():
            lines.append(f"{sha256_file(path)} {path.relative_to(root)}\n")
    return "".join(lines)


def _require_programs(root: Path, lock: EngineLock) -> None:
    missing = [name for name in _PROGRAMS if not (root / name).exists()]
    if not any((root / name).exists() for name in _RUNC):
        missing.append(_RUNC[0])
    if missing:
        raise EngineError(
            f"engine {lock.engine!r}: its packages lack programs that an engine needs",
            details="\n".join(missing),
            hint="name docker.io, docker-cli, containerd, docker-buildx, runc and libseccomp2 in its recipe",
        )


def _configure(home: Path) -> None:
    """Write the daemon's settings, and a DOCKER_CONFIG folder with buildx as its only plugin."""
    settings = {
        "features": {"containerd-snapshotter": True},
        # rtbuild's own builds never use what earlier ones left; builds of users' projects do
        "builder": {
            "gc": {
                "enabled": True,
                "policy": [
                    {"keepStorage": "1GB", "filter": ["type=source.local"]},
                    {"keepStorage": "2GB", "all": True},
                ],
            }
        },
    }
    plugins = home / "config/cli-plugins"
    plugin = plugins / "docker-buildx"
    try:
        plugins.mkdir(parents=True, exist_ok=True)
        (home / "daemon.json").write_text(json.dumps(settings, indent=1))
        plugin.unlink(missing_ok=True)
        plugin.symlink_to(home / "root" / _PLUGIN)
    except OSError as error:
        raise EngineError(
            f"cannot configure the engine in {home}", details=str(error), hint="check the folder's permissions"
        ) from error
