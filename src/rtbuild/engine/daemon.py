"""The processes, mounts and log of one dockerd."""

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
"""How many of the log's last lines an error shows."""

_STOP_SECONDS = 30.0
_LOG_KEPT = 10_000_000
_LIBRARIES = ("usr/lib", "lib")
_HELPFUL = ("failed to start daemon", "level=fatal", "level=panic", "error while loading shared libraries", "panic:")
_RESET = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGPIPE, signal.SIGTERM, signal.SIGCHLD, signal.SIGXFSZ)


@dataclass(frozen=True, slots=True, kw_only=True)
class DaemonPaths:
    """Where one daemon has its programs and files."""

    root: Path
    config: Path
    data: Path
    execution: Path
    socket: Path
    pid_file: Path
    log: Path
    settings: Path

    @property
    def program(self) -> Path:
        """The daemon itself."""
        return self.root / "usr/sbin/dockerd"

    def command(self) -> list[str]:
        """The daemon's command line."""
        return [
            str(self.program),
            f"--config-file={self.settings}",
            f"--data-root={self.data}",
            f"--exec-root={self.execution}",
            f"--pidfile={self.pid_file}",
            f"--host=unix://{self.socket}",
            # Builds have no network and containers share the host's: nothing of the machine's network is touched
            "--bridge=none",
            "--iptables=false",
            "--ip6tables=false",
            "--ip-forward=false",
        ]

    def environment(self) -> dict[str, str]:
        """The daemon's variables: nothing of the caller's."""
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
        """The pid of the daemon; None where it does not run. A pid that is now another program's does not count."""
        try:
            pid = int(self.pid_file.read_text())
        except (OSError, ValueError):
            return None
        return pid if processes.runs(pid, self.program) else None

    def launch(self, *, timeout: float) -> None:
        """Start the daemon and wait until it answers, at most `timeout` seconds. Raises `EngineError` with its log."""
        self._make_folders()
        self._try_overlay()
        offset = self._trim_log()
        pid = os.posix_spawn(
            "/bin/sh",
            ["sh", "-c", 'cd / && exec "$@"', "sh", *self.command()],
            self.environment(),
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, str(self.log), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644),
                (os.POSIX_SPAWN_DUP2, 1, 2),
            ],
            # It outlives this command and its terminal, with the signals as a fresh program has them
            setsid=True,
            setsigmask=(),
            setsigdef=_RESET,
        )
        deadline = time.monotonic() + timeout
        while not answers(self.socket):
            processes.reap(pid)
            if processes.start_time(pid) is None:
                self.clean()
                raise self._start_error("ended as soon as it was started", offset)
            if time.monotonic() > deadline:
                processes.end_processes([pid], grace=_STOP_SECONDS)  # it may not have come as far as its pid file
                processes.reap(pid)
                self.clean()
                raise self._start_error(f"did not answer within {timeout:g} s", offset)
            time.sleep(0.05)
        if self.daemon_pid() is None:
            raise self._start_error("answers, but is not the one that was started", offset)

    def clean(self) -> None:
        """End the daemon and everything that it started, and take away mounts, sockets and state that it left.

        Only processes that run programs of `root`, or live in containers stored in `data`, are ended.
        """
        if (pid := self.daemon_pid()) is not None:
            processes.end_processes([pid], grace=_STOP_SECONDS)
            processes.reap(pid)
        # dockerd ends what it started, unless it was killed itself
        left = [*processes.processes_below(self.root), *processes.processes_rooted_in(self.data)]
        processes.end_processes(left, grace=5.0)
        if survivors := processes.processes_below(self.root):
            pids = " ".join(map(str, survivors))
            raise EngineError(f"processes of the engine in {self.root} do not end: {pids}")
        for folder in (self.execution, self.data):
            for point in processes.mounts_below(folder):
                with contextlib.suppress(OSError):
                    processes.unmount(point)
        if not processes.mounts_below(self.execution):
            shutil.rmtree(self.execution, ignore_errors=True)
        self.pid_file.unlink(missing_ok=True)
        self.socket.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            # A folder below /run holds nothing else; the engine's own is not empty
            self.socket.parent.rmdir()

    def tail(self, offset: int = 0) -> list[str]:
        """The last lines of the log, from `offset` bytes on."""
        try:
            with self.log.open("rb") as file:
                file.seek(max(offset, self.log.stat().st_size - 200_000))
                return file.read().decode(errors="replace").splitlines()[-LOG_LINES:]
        except OSError:
            return []

    def _libraries(self) -> list[Path]:
        """Folders of shared libraries in `root`: what runc needs, nothing more is unpacked."""
        folders = {file.parent for base in _LIBRARIES for file in (self.root / base).glob("*/*.so*")}
        return sorted(folders)

    def _make_folders(self) -> None:
        try:
            for folder in (self.data, self.execution, self.socket.parent):
                folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise EngineError(
                f"the engine cannot make its folders in {self.root.parent}", details=str(error)
            ) from error

    def _try_overlay(self) -> None:
        """Builds fail late and darkly where the data folder cannot carry an overlay: say so before."""
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
                f"overlay mounts do not work in {self.data.parent}",
                details=f"{type(error).__name__}: {error}",
                hint="the engine needs a kernel with overlayfs, the right to mount, and its folder on a plain file "
                "system such as ext4 or xfs (not on another overlay)",
            ) from error
        finally:
            shutil.rmtree(probe, ignore_errors=True)

    def _trim_log(self) -> int:
        """Start the log anew where it has grown large; returns its size in bytes."""
        with contextlib.suppress(OSError):
            if self.log.stat().st_size > _LOG_KEPT:
                self.log.replace(self.log.with_suffix(".log.1"))
        with contextlib.suppress(OSError):
            return self.log.stat().st_size
        return 0

    def _start_error(self, what: str, offset: int) -> EngineError:
        tail = self.tail(offset)
        line = next((line for line in reversed(tail) if any(mark in line for mark in _HELPFUL)), "")
        brief = f"the private engine {what}" + (f": {line.strip()}" if line else "")
        return EngineError(brief, details="\n".join(tail), hint=f"the full log is {self.log}")
