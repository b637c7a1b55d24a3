"""Processes and mounts of Linux, read from /proc: whose they are, and ending them by pid."""

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
    """The program that `pid` runs; None where there is no such process, it is a zombie, or it is another user's."""
    try:
        target = (_PROC / str(pid) / "exe").readlink()
    except OSError:
        return None
    return Path(str(target).removesuffix(_DELETED))


def runs(pid: int, program: Path) -> bool:
    """Whether `pid` is a living process of exactly this program file. Of another user's process only the command line
    can be seen, which is then believed."""
    try:
        (_PROC / str(pid) / "exe").readlink()
    except PermissionError:
        with contextlib.suppress(OSError):
            return (_PROC / str(pid) / "cmdline").read_bytes().startswith(bytes(program) + b"\0")
    except OSError:
        return False
    return executable(pid) == program


def start_time(pid: int) -> int | None:
    """When `pid` started, in clock ticks since boot; None where there is no such process or it is a zombie. With the
    pid it names a process for good, whatever program it becomes."""
    try:
        fields = _stat(pid)
        return None if fields[0] == "Z" else int(fields[19])
    except (OSError, ValueError, IndexError):
        return None


def processes_below(folder: Path) -> tuple[int, ...]:
    """Processes whose program file lies in `folder`."""
    return tuple(pid for pid in _pids() if (program := executable(pid)) and program.is_relative_to(folder))


def processes_rooted_in(folder: Path) -> tuple[int, ...]:
    """Processes in containers whose root file system is stored in `folder` (an overlay's upper directory)."""
    found = []
    for pid in _pids():
        with contextlib.suppress(OSError):
            for line in (_PROC / str(pid) / "mountinfo").read_text(errors="surrogateescape").splitlines():
                fields = line.split(" ")
                if fields[4] == "/" and f"upperdir={folder}/" in _unescape(line):
                    found.append(pid)
    return tuple(found)


def end_processes(pids: Iterable[int], *, grace: float) -> None:
    """Ask processes to end, wait up to `grace` seconds, then kill the rest. A pid that passes to another process
    meanwhile is left alone."""
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
    """Ask `pid`, a child of ours, and everything below it to end; after `grace` seconds kill what is left."""
    if not (_PROC / "self").exists():
        # Not Linux: docker passes the signal on to its plugin
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
        return
    end_processes((pid, *descendants(pid)), grace=grace)


def descendants(pid: int) -> tuple[int, ...]:
    """The children of `pid`, their children, and so on; empty where there is no /proc."""
    children: dict[int, list[int]] = {}
    for one in _pids():
        with contextlib.suppress(OSError, ValueError, IndexError):
            children.setdefault(int(_stat(one)[1]), []).append(one)
    found: list[int] = []
    queue = [pid]
    while queue:
        below = children.get(queue.pop(), [])
        found += below
        queue += below
    return tuple(found)


def reap(pid: int) -> None:
    """Take the exit code of `pid` if it is a child of ours that has ended, so that no zombie stays."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)


def mounts_below(folder: Path) -> tuple[Path, ...]:
    """Mount points in `folder`, deepest first."""
    found = []
    for line in (_PROC / "self/mountinfo").read_text(errors="surrogateescape").splitlines():
        point = Path(_unescape(line.split(" ")[4]))
        if point.is_relative_to(folder):
            found.append(point)
    return tuple(sorted(found, key=lambda point: len(point.parts), reverse=True))


def unmount(point: Path) -> None:
    """Detach a mount at once, even where something still uses it (umount2(2), MNT_DETACH). Raises `OSError`."""
    _call("umount2", os.fsencode(point), _MNT_DETACH)


def mount(kind: str, source: str, point: Path, options: str) -> None:
    """mount(2). Raises `OSError`."""
    _call("mount", source.encode(), os.fsencode(point), kind.encode(), ctypes.c_ulong(0), os.fsencode(options))


def _call(name: str, *arguments: object) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, name)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _stat(pid: int) -> list[str]:
    """The fields of /proc/<pid>/stat from the third on (proc(5)): the second may hold spaces and parentheses."""
    return (_PROC / str(pid) / "stat").read_text(errors="replace").rpartition(")")[2].split()


def _pids() -> list[int]:
    try:
        return [int(entry.name) for entry in _PROC.iterdir() if entry.name.isdecimal()]
    except OSError:
        return []


def _unescape(text: str) -> str:
    """A path of mountinfo, where space, tab, newline and backslash are octal (proc(5))."""
    for code, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        text = text.replace(code, character)
    return text
