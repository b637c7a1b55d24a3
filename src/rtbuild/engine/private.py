"""A private Docker daemon from locked Debian packages, unpacked into a folder with its own socket, data and
configuration.

Nothing is installed: removing the folder of a stopped engine removes the engine. Inside `<folder>/<name>/`:
`root/` the unpacked packages, `config/` what DOCKER_CONFIG names, `data/` images and build cache, `exec/` the running
daemon's state, `docker.sock`, `dockerd.pid`, `dockerd.log`, `unpacked` (the digest of the packages in `root/`).
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from rtbuild.digest import Sha256, canonical_json, sha256_bytes
from rtbuild.engine import daemon
from rtbuild.engine.debs import unpack_deb
from rtbuild.engine.endpoint import Endpoint
from rtbuild.engine.ping import answers
from rtbuild.errors import EngineError
from rtbuild.lockfile.model import DebArtifact, EngineLock
from rtbuild.platform import host_platform
from rtbuild.progress import Progress, Silent

DEFAULT_NAME = "default"

_PLUGIN = "usr/libexec/docker/cli-plugins/docker-buildx"
_PROGRAMS = ("usr/sbin/dockerd", "usr/bin/docker", "usr/bin/containerd", "usr/bin/containerd-shim-runc-v2", _PLUGIN)
_RUNC = ("usr/sbin/runc", "usr/bin/runc")
_LONGEST_SOCKET = 107
"""Bytes that a Unix socket's path may have (unix(7), without the final zero)."""

Packages = Mapping[Sha256, Path] | Callable[[Sha256], Path]
"""Where the verified bytes of each locked package are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineStatus:
    """What is known of a private engine. `pid` is None unless it runs; `packages` is the digest of the locked packages
    in it, None where nothing is unpacked. `host` and `config` are for DOCKER_HOST and DOCKER_CONFIG, to use it by
    hand."""

    name: str
    folder: Path
    running: bool
    pid: int | None
    host: str
    config: Path
    docker: Path
    log: Path
    packages: Sha256 | None

    def endpoint(self) -> Endpoint:
        """How to speak to it."""
        title = f"the private engine {self.name!r}"
        return Endpoint(docker=self.docker, host=self.host, config=self.config, builder="default", title=title)


def start_engine(
    lock: EngineLock,
    packages: Packages,
    folder: Path,
    *,
    name: str = DEFAULT_NAME,
    progress: Progress | None = None,
    timeout: float = 60.0,
) -> EngineStatus:
    """Have the engine `name` of `folder` running from the packages of `lock`, and return once it answers.

    One that runs from them already is left alone; one from other packages is stopped and unpacked anew (its images and
    cache stay). Leftovers of a killed one are cleaned away. `timeout` is in seconds.

    Raises `EngineError`, with the end of the daemon's log where it would not start; `IntegrityError` for a broken
    package.
    """
    progress = progress or Silent()
    require_host(lock)
    home = _home(folder, name)
    with _locked(home):
        wanted = packages_digest(lock.debs)
        status = _status(home, name)
        if status.packages == wanted and status.running and answers(_places(home).socket):
            return status
        task = f"engine {name}"
        progress.begin(task)
        try:
            _places(home).clean()
            if status.packages != wanted:
                _unpack(lock, packages, home, wanted, progress)
            _configure(home)
            _places(home).launch(timeout=timeout)
        except BaseException:
            progress.end(task, "failed")
            raise
        progress.end(task, "running")
        return _status(home, name)


def engine_status(folder: Path, name: str = DEFAULT_NAME) -> EngineStatus:
    """What is known of the engine `name` of `folder`, whether it exists or not. Quick, and changes nothing."""
    return _status(_home(folder, name), name)


def stop_engine(folder: Path, name: str = DEFAULT_NAME) -> EngineStatus:
    """End the engine `name` of `folder` and everything it started; its images and cache stay. Raises `EngineError`."""
    home = _home(folder, name)
    if not home.is_dir():
        return _status(home, name)
    if os.geteuid() != 0:
        raise EngineError("only root can stop a private engine", hint=f"run `sudo rtbuild engine stop` for {home}")
    with _locked(home):
        _places(home).clean()
        return _status(home, name)


def packages_digest(packages: Iterable[DebArtifact]) -> Sha256:
    """The identity of what an engine is unpacked from: the packages of its lock, whatever else that says."""
    return sha256_bytes(canonical_json(sorted([deb.name, deb.version, deb.sha256] for deb in packages)))


def _home(folder: Path, name: str) -> Path:
    if not name or name.startswith(".") or "/" in name:
        raise EngineError(f"an engine cannot be called {name!r}", hint="use letters, digits and dashes")
    return folder.resolve() / name


def require_host(lock: EngineLock) -> None:
    """Raise `EngineError` where this machine and this user cannot start an engine from `lock`."""
    if sys.platform != "linux":
        raise EngineError("a private engine needs Linux", hint="install Docker, and give its address in DOCKER_HOST")
    if lock.platform != host_platform():
        raise EngineError(
            f"the engine lock {lock.engine} is for {lock.platform}, this machine is {host_platform()}",
            hint="lock the engine for this machine's platform",
        )
    if os.geteuid() != 0:
        raise EngineError(
            "a private engine needs root, for it mounts file systems and starts containers",
            hint="run `sudo rtbuild engine start`, or name an existing Docker (DOCKER_HOST, DOCKER_CONTEXT, --builder)",
        )


def _status(home: Path, name: str) -> EngineStatus:
    places = _places(home)
    pid = places.daemon_pid()
    try:
        digest: Sha256 | None = Sha256((home / "unpacked").read_text().strip())
    except OSError:
        digest = None
    return EngineStatus(
        name=name,
        folder=home,
        running=pid is not None,
        pid=pid,
        host=f"unix://{places.socket}",
        config=home / "config",
        docker=home / "root/usr/bin/docker",
        log=places.log,
        packages=digest,
    )


def _places(home: Path) -> daemon.DaemonPaths:
    """Where the daemon of `home` has its things. A folder too deep for names of sockets gets a short one below /run."""
    runtime = home
    if len(os.fsencode(home / "exec/containerd/containerd-debug.sock.ttrpc")) > _LONGEST_SOCKET:
        runtime = Path("/run/rtbuild") / hashlib.sha256(os.fsencode(home)).hexdigest()[:16]
    return daemon.DaemonPaths(
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
    """Let one process at a time start or stop an engine."""
    try:
        home.mkdir(parents=True, exist_ok=True)
        file = (home / "lock").open("a")
    except OSError as error:
        raise EngineError(f"{home} cannot be used for an engine", details=str(error)) from error
    with file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _unpack(lock: EngineLock, packages: Packages, home: Path, digest: Sha256, progress: Progress) -> None:
    """Unpack into a new root, then put it in the place of the old one."""
    find = packages if callable(packages) else packages.__getitem__
    fresh = home / "root.new"
    (home / "unpacked").unlink(missing_ok=True)
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir()
    task = f"unpack engine {lock.engine}"
    progress.begin(task, total=len(lock.debs), unit="packages")

    def unpack_one(sha256: Sha256) -> None:
        unpack_deb(find(sha256), fresh)
        progress.advance(task)

    try:
        with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
            list(pool.map(unpack_one, (deb.sha256 for deb in lock.debs)))
        _require_programs(fresh, lock)
    except BaseException as error:
        progress.end(task, "failed")
        shutil.rmtree(fresh, ignore_errors=True)
        if isinstance(error, OSError):
            raise EngineError(f"the engine cannot be unpacked into {home}", details=str(error)) from error
        if isinstance(error, KeyError):
            raise EngineError(f"engine {lock.engine}: a package was not fetched", details=str(error)) from error
        raise
    shutil.rmtree(home / "root", ignore_errors=True)
    fresh.rename(home / "root")
    (home / "unpacked").write_text(f"{digest}\n")
    progress.end(task, "unpacked")


def _require_programs(root: Path, lock: EngineLock) -> None:
    missing = [name for name in _PROGRAMS if not (root / name).exists()]
    if not any((root / name).exists() for name in _RUNC):
        missing.append(_RUNC[0])
    if missing:
        raise EngineError(
            f"the engine lock {lock.engine} lacks programs that an engine needs",
            details="\n".join(missing),
            hint="its recipe must name docker.io, docker-cli, containerd, docker-buildx, runc and libseccomp2",
        )


def _configure(home: Path) -> None:
    """Write the daemon's settings and a DOCKER_CONFIG folder in which buildx is the only plugin."""
    settings = {
        "features": {"containerd-snapshotter": True},
        # Contexts are sent anew with every build, so what a former one left is of no use
        "builder": {
            "gc": {
                "enabled": True,
                "policy": [
                    {"keepStorage": "1GB", "filter": ["type=source.local"]},
                    {"keepStorage": "20GB", "all": True},
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
        raise EngineError(f"the engine in {home} cannot be configured", details=str(error)) from error
