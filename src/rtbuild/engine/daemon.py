"""One dockerd: its files, processes, mounts and log."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from rtbuild.engine import processes
from rtbuild.engine.ping import answers
from rtbuild.errors import EngineError

LOG_LINES = 30
"""How many of the last lines of the log an error shows."""

_STOP_SECONDS = 30.0
_LOG_LIMIT = 10_000_000
"""Bytes; a larger log is rotated when the daemon starts."""
_LIBRARIES = ("usr/lib", "lib")
_ERRORS = (
    "failed to start daemon",
    "level=fatal",
    "level=panic",
    "error while loading shared libraries",
    "panic:",
)
_SIGNALS = (
    signal.SIGHUP,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGPIPE,
    signal.SIGTERM,
    signal.SIGCHLD,
    signal.SIGXFSZ,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Daemon:
    """A dockerd that may run or not, by the folders and files that it uses."""

    root: Path
    """The unpacked packages."""
    config: Path
    """The folder for DOCKER_CONFIG."""
    data: Path
    """Images and build cache."""
    execution: Path
    """State of the running daemon."""
    socket: Path
    pid_file: Path
    log: Path
    settings: Path
    """The daemon's `daemon.json`."""

    @property
    def program(self) -> Path:
        """The dockerd program."""
        return self.root / "usr/sbin/dockerd"

    def command(self) -> list[str]:
        """Return the daemon's command line."""
        return [
            str(self.program),
            f"--config-file={self.settings}",
            f"--data-root={self.data}",
            f"--exec-root={self.execution}",
            f"--pidfile={self.pid_file}",
            f"--host=unix://{self.socket}",
            # Builds have no network and containers share the host's, so the machine's network is left alone
            "--bridge=none",
            "--iptables=false",
            "--ip6tables=false",
            "--ip-forward=false",
        ]

    def environment(self) -> dict[str, str]:
        """Return the daemon's environment variables; none of them is the user's."""
        programs = [str(self.root / folder) for folder in ("usr/sbin", "usr/bin")]
        system = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"]
        return {
            "PATH": ":".join([*programs, *system]),
            "LD_LIBRARY_PATH": ":".join(str(folder) for folder in self._libraries()),
            "DOCKER_CONFIG": str(self.config),
            "HOME": str(self.config),
            "LC_ALL": "C.UTF-8",
        }

    def daemon_pid(self) -> int | None:
        """Return the pid of the daemon; None if it does not run, or if another program has its pid now."""
        try:
            pid = int(self.pid_file.read_text())
        except (OSError, ValueError):
            return None
        return pid if processes.runs(pid, self.program) else None

    def launch(self, *, timeout: float) -> None:
        """Start the daemon and wait until it answers, at most `timeout` seconds.

        Raises:
            EngineError: if it does not start; the details are the end of its log.
        """
        self._make_folders()
        self._probe_overlay()
        offset = self._rotate_log()
        pid = os.posix_spawn(
            "/bin/sh",
            ["sh", "-c", 'cd / && exec "$@"', "sh", *self.command()],
            self.environment(),
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, str(self.log), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644),
                (os.POSIX_SPAWN_DUP2, 1, 2),
                # Such as the descriptor of a lock that a caller holds: the daemon would hold it for ever.
                *((os.POSIX_SPAWN_CLOSE, descriptor) for descriptor in _inherited()),
            ],
            # It outlives this command and its terminal, with the default signal handlers
            setsid=True,
            setsigmask=(),
            setsigdef=_SIGNALS,
        )
        deadline = time.monotonic() + timeout
        while not answers(self.socket):
            processes.reap(pid)
            if processes.start_time(pid) is None:
                self.clean()
                raise self._start_error("exited during startup", offset)
            if time.monotonic() > deadline:
                processes.end_processes([pid], grace=_STOP_SECONDS)  # it may have no pid file yet
                processes.reap(pid)
                self.clean()
                raise self._start_error(f"did not answer within {timeout:g} s", offset)
            time.sleep(0.05)
        if self.daemon_pid() is None:
            raise self._start_error("is not the daemon that answers at its socket", offset)

    def clean(self) -> None:
        """End the daemon and everything that it started, and remove its mounts, sockets and state.

        Only processes that run programs in `root`, or in containers stored in `data`, are ended.

        Raises:
            EngineError: if a process does not end.
        """
        if (pid := self.daemon_pid()) is not None:
            processes.end_processes([pid], grace=_STOP_SECONDS)
            processes.reap(pid)
        # dockerd ends what it started, unless it was killed itself
        orphans = [*processes.processes_below(self.root), *processes.processes_rooted_in(self.data)]
        processes.end_processes(orphans, grace=5.0)
        if survivors := processes.processes_below(self.root):
            pids = " ".join(map(str, survivors))
            raise EngineError(
                f"cannot stop the engine in {self.root.parent}: these processes do not end: {pids}",
                hint="run `rtbuild engine stop` again",
            )
        for folder in (self.execution, self.data):
            for point in processes.mounts_below(folder):
                with contextlib.suppress(OSError):
                    processes.unmount(point)
        if not processes.mounts_below(self.execution):
            shutil.rmtree(self.execution, ignore_errors=True)
        self.pid_file.unlink(missing_ok=True)
        self.socket.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            # Removes a folder below /run, which held nothing else; the engine's own is not empty
            self.socket.parent.rmdir()

    def tail(self, offset: int = 0) -> list[str]:
        """Return the last lines of the log after `offset` bytes."""
        try:
            with self.log.open("rb") as file:
                file.seek(max(offset, self.log.stat().st_size - 200_000))
                return file.read().decode(errors="replace").splitlines()[-LOG_LINES:]
        except OSError:
            return []

    def _libraries(self) -> list[Path]:
        """Return the folders of shared libraries in `root`; runc needs them."""
        folders = {file.parent for base in _LIBRARIES for file in (self.root / base).glob("*/*.so*")}
        return sorted(folders)

    def _make_folders(self) -> None:
        try:
            for folder in (self.data, self.execution, self.socket.parent):
                folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise EngineError(
                f"cannot create the folders of the engine in {self.root.parent}", details=str(error)
            ) from error

    def _probe_overlay(self) -> None:
        """Probe overlayfs first; otherwise builds fail late with an obscure error."""
        probe = self.data.parent / "overlay-probe"
        shutil.rmtree(probe, ignore_errors=True)
        lower, upper, work, merged = (probe / part for part in ("lower", "upper", "work", "merged"))
        for folder in (lower, upper, work, merged):
            folder.mkdir(parents=True)
        try:
            processes.mount("overlay", "overlay", merged, f"lowerdir={lower},upperdir={upper},workdir={work}")
            processes.unmount(merged)
        except OSError as error:
            raise EngineError(
                f"cannot mount an overlay in {self.data.parent}",
                details=f"{type(error).__name__}: {error}",
                hint="set RTBUILD_ENGINE_DIR to a folder on ext4, xfs or another plain file system, not an overlay; "
                "in a container, allow mounts (`docker run --privileged`)",
            ) from error
        finally:
            shutil.rmtree(probe, ignore_errors=True)

    def _rotate_log(self) -> int:
        """Rotate the log if it is large, and return its size in bytes."""
        with contextlib.suppress(OSError):
            if self.log.stat().st_size > _LOG_LIMIT:
                self.log.replace(self.log.with_suffix(".log.1"))
        with contextlib.suppress(OSError):
            return self.log.stat().st_size
        return 0

    def _start_error(self, what: str, offset: int) -> EngineError:
        tail = self.tail(offset)
        line = next((line for line in reversed(tail) if any(mark in line for mark in _ERRORS)), "")
        brief = f"the private engine {what}" + (f": {line.strip()}" if line else "")
        return EngineError(brief, details="\n".join(tail), hint=f"see the full log in {self.log}")


def _inherited() -> list[int]:
    """Return the descriptors that a child process would inherit, except the three standard ones."""
    found = []
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):  # the descriptor of the listing itself is closed by now
            if int(name) > 2 and os.get_inheritable(int(name)):
                found.append(int(name))
    return found
