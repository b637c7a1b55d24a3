"""Linux processes and mounts, read from /proc: find those of an engine, and end them by pid."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import time
from collections.abc import Iterable
from pathlib import Path

_PROC = Path("/proc")
_MNT_DETACH = 2
_DELETED = " (deleted)"


def executable(pid: int) -> Path | None:
    """Return the program that `pid` runs; None if the process is gone, a zombie, or owned by another user."""
    try:
        target = (_PROC / str(pid) / "exe").readlink()
    except OSError:
        return None
    return Path(str(target).removesuffix(_DELETED))


def runs(pid: int, program: Path) -> bool:
    """Return whether `pid` is a living process of exactly this program file.

    For a process of another user only the command line is visible; then that decides.
    """
    try:
        (_PROC / str(pid) / "exe").readlink()
    except PermissionError:
        with contextlib.suppress(OSError):
            return (_PROC / str(pid) / "cmdline").read_bytes().startswith(bytes(program) + b"\0")
    except OSError:
        return False
    return executable(pid) == program


def start_time(pid: int) -> int | None:
    """Return when `pid` started, in clock ticks since boot; None if the process is gone or a zombie.

    Pid and start time together identify a process, whatever program it runs later.
    """
    try:
        fields = _stat(pid)
        return None if fields[0] == "Z" else int(fields[19])
    except (OSError, ValueError, IndexError):
        return None


def processes_below(folder: Path) -> tuple[int, ...]:
    """Return the processes whose program file is in `folder`."""
    return tuple(pid for pid in _pids() if (program := executable(pid)) and program.is_relative_to(folder))


def processes_rooted_in(folder: Path) -> tuple[int, ...]:
    """Return the processes in containers whose root file system (the overlay's upper directory) is in `folder`."""
    rooted = []
    for pid in _pids():
        with contextlib.suppress(OSError):
            for line in (_PROC / str(pid) / "mountinfo").read_text(errors="surrogateescape").splitlines():
                fields = line.split(" ")
                if fields[4] == "/" and f"upperdir={folder}/" in _unescape(line):
                    rooted.append(pid)
    return tuple(rooted)


def end_processes(pids: Iterable[int], *, grace: float) -> None:
    """Send SIGTERM, wait up to `grace` seconds, then send SIGKILL to the rest.

    A pid that another process gets in the meantime is left alone.
    """
    started = {pid: start_time(pid) for pid in pids}
    remaining = [pid for pid, start in started.items() if start is not None]
    for number, patience in ((signal.SIGTERM, grace), (signal.SIGKILL, 10.0)):
        remaining = [pid for pid in remaining if start_time(pid) == started[pid]]
        for pid in remaining:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        deadline = time.monotonic() + patience
        while remaining and time.monotonic() < deadline:
            time.sleep(0.05)
            remaining = [pid for pid in remaining if start_time(pid) == started[pid]]
        if not remaining:
            return


def end_family(pid: int, *, grace: float) -> None:
    """End `pid`, a child of this process, and all its descendants; after `grace` seconds kill the rest."""
    if not (_PROC / "self").exists():
        # Not Linux: docker forwards the signal to its plugin
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
        return
    end_processes((pid, *descendants(pid)), grace=grace)


def descendants(pid: int) -> tuple[int, ...]:
    """Return the children of `pid`, their children, and so on; empty if there is no /proc."""
    children: dict[int, list[int]] = {}
    for child in _pids():
        with contextlib.suppress(OSError, ValueError, IndexError):
            children.setdefault(int(_stat(child)[1]), []).append(child)
    family: list[int] = []
    queue = [pid]
    while queue:
        below = children.get(queue.pop(), [])
        family += below
        queue += below
    return tuple(family)


def reap(pid: int) -> None:
    """Collect the exit code of `pid`, if it is a child that has ended, so that no zombie stays."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)


def mounts_below(folder: Path) -> tuple[Path, ...]:
    """Return the mount points in `folder`, deepest first."""
    points = []
    for line in (_PROC / "self/mountinfo").read_text(errors="surrogateescape").splitlines():
        point = Path(_unescape(line.split(" ")[4]))
        if point.is_relative_to(folder):
            points.append(point)
    return tuple(sorted(points, key=lambda point: len(point.parts), reverse=True))


def unmount(point: Path) -> None:
    """Detach a mount, even if it is in use: umount2(2) with MNT_DETACH.

    Raises:
        OSError: if the kernel refuses.
    """
    _call("umount2", os.fsencode(point), _MNT_DETACH)


def mount(kind: str, source: str, point: Path, options: str) -> None:
    """Mount a file system: mount(2).

    Raises:
        OSError: if the kernel refuses.
    """
    _call("mount", source.encode(), os.fsencode(point), kind.encode(), ctypes.c_ulong(0), os.fsencode(options))


def _call(name: str, *arguments: object) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, name)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _stat(pid: int) -> list[str]:
    """Return the fields of /proc/<pid>/stat from the third on (proc(5)): the second may hold spaces and parentheses."""
    return (_PROC / str(pid) / "stat").read_text(errors="replace").rpartition(")")[2].split()


def _pids() -> list[int]:
    try:
        return [int(entry.name) for entry in _PROC.iterdir() if entry.name.isdecimal()]
    except OSError:
        return []


def _unescape(text: str) -> str:
    """Decode a path of mountinfo, where space, tab, newline and backslash are octal (proc(5))."""
    for code, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        text = text.replace(code, character)
    return text
