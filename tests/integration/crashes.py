"""Disturb rtbuild: kill it at some moment, fill its disk, and see what it leaves behind."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rtbuild.digest import sha256_file
from rtbuild.engine import processes
from tests.integration.command_line import Answer, CommandLine
from tests.integration.conftest import SmallRelease
from tests.integration.small import VERSION, lock_small_project


@dataclass(frozen=True, slots=True, kw_only=True)
class Crash:
    """A command that is killed.

    Attributes:
        arguments: The command, whose current folder is the workspace.
        begin: Makes, in the given folder, the state in which it starts.
        result: Returns what must be the same however often it was killed before.
    """

    arguments: tuple[str, ...]
    begin: Callable[[SmallRelease, Path], SmallRelease]
    result: Callable[[SmallRelease, Answer], object]

    @property
    def title(self) -> str:
        return " ".join(word for word in self.arguments if word != "--json")


# --- the states in which a command starts -----------------------------------------------------------------------------


def unfetched(small: SmallRelease, folder: Path) -> SmallRelease:
    """A release with an empty store, whose packages a folder serves."""
    mine = small.unbuilt(folder)
    for deb in mine.lock.debs:
        mine.store.artifact_path(deb.sha256).rename(mine.workspace.root / "files" / deb.filename)
    for path in (folder / "store" / "artifacts").iterdir():
        path.unlink()
    return mine


def unrecorded(small: SmallRelease, folder: Path) -> SmallRelease:
    """A release of which only the artifacts are in the store, and whose lock has no digests."""
    mine = small.unbuilt(folder)
    lock_small_project(mine.workspace, mine.lock)
    return mine


def outdated(small: SmallRelease, folder: Path) -> SmallRelease:
    """A built release to whose layers its lock no longer refers."""
    mine = small.copy(folder)
    lock_small_project(mine.workspace, mine.lock)
    return mine


def unlocked(small: SmallRelease, folder: Path) -> SmallRelease:
    """A release without a lock, and an empty store."""
    mine = unfetched(small, folder)
    mine.workspace.lock_path(VERSION, mine.lock.platform).unlink()
    return mine


# --- results ----------------------------------------------------------------------------------------------------------


def artifacts(small: SmallRelease, answer: Answer) -> list[str]:
    """The artifacts in the store. `store verify` hashes them."""
    return sorted(path.name for path in (small.folder / "store" / "artifacts").iterdir())


def image(small: SmallRelease, answer: Answer) -> dict[str, object]:
    """All digests that a build gave."""
    return digests(answer.document)


def digests(document: Mapping[str, Any]) -> dict[str, object]:
    """All digests in the answer of a build."""
    layers = [(layer["name"], layer["key"], layer["diff_id"]) for layer in document["layers"]]
    names = ("image_id", "manifest_digest", "image_base", "matches_lock")
    return {"layers": layers, **{name: document[name] for name in names}}


def locked(small: SmallRelease, answer: Answer) -> dict[str, str]:
    """The folder of locks."""
    return files_of(small.workspace.root / "runtime.lock")


def output(small: SmallRelease, answer: Answer) -> dict[str, str]:
    """What the command wrote into the folder `out` beside the workspace."""
    return files_of(small.folder / "out")


def kept(small: SmallRelease, answer: Answer) -> dict[str, str]:
    """What garbage collection keeps."""
    store = small.folder / "store"
    return files_of(store / "artifacts") | files_of(store / "layout") | files_of(store / "trees")


def proven(small: SmallRelease, answer: Answer) -> dict[str, object]:
    """What a verification found."""
    return {name: value for name, value in answer.document.items() if name != "seconds"}


def files_of(folder: Path) -> dict[str, str]:
    """The digest of each file below `folder`, hidden ones included, by its path there."""
    return {str(path.relative_to(folder)): sha256_file(path) for path in folder.rglob("*") if path.is_file()}


# --- kill -------------------------------------------------------------------------------------------------------------


def kill_after(
    command: CommandLine, arguments: tuple[str, ...], seconds: float, *, group: bool
) -> dict[int, int | None]:
    """Start a command and kill it, or its whole process group, after so many seconds.

    Returns:
        Its family when it was killed; nobody if it had ended by itself.
    """
    process = replace(command, before=["setsid"]).start(*arguments)
    try:
        process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        members = family(process)
        if group:
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
        process.communicate()
        return members
    return {}


def family(process: subprocess.Popen[str]) -> dict[int, int | None]:
    """The process and all below it, each with the time when it started."""
    return {pid: processes.start_time(pid) for pid in (process.pid, *processes.descendants(process.pid))}


def survivors(family: dict[int, int | None]) -> list[int]:
    """Which of a family still run after some seconds."""
    deadline = time.monotonic() + 30
    left = list(family)
    while left and time.monotonic() < deadline:
        left = [pid for pid in left if family[pid] is not None and processes.start_time(pid) == family[pid]]
        time.sleep(0.05)
    return left


# --- what is left -----------------------------------------------------------------------------------------------------


def left_in(small: SmallRelease) -> list[str]:
    """Files that are half written, or that only a running command needs, in the store, the workspace or the output."""
    found = [path for path in small.folder.rglob("*") if path.name.startswith(".")]
    return [str(path.relative_to(small.folder)) for path in (*found, *(small.folder / "store" / "tmp").iterdir())]


def assert_clean(small: SmallRelease) -> None:
    """Nothing unfinished is left, and every byte in the store is right."""
    assert left_in(small) == []
    assert list((small.folder / "store" / "partial").iterdir()) == []
    small.command.run("store", "verify", "--json").succeeded()
    assert left_in(small) == []


# --- a full disk ------------------------------------------------------------------------------------------------------


@contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[Callable[[int], None]]:
    """A file system of so many MB at `folder`; what it yields gives it another size."""

    def resize(size: int) -> None:
        subprocess.run(["mount", "-o", f"remount,size={size}m", str(folder)], check=True)

    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)], check=True)
    try:
        yield resize
    finally:
        subprocess.run(["umount", str(folder)], check=True)
