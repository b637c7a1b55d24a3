"""How much space a private engine uses, and giving it back."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from rtbuild.engine import private
from rtbuild.engine.client import connect
from rtbuild.engine.private import DEFAULT_NAME, EngineStatus
from rtbuild.errors import EngineError

_KNOWN = frozenset(
    {"root", "root.new", "unpacked", "programs", "config", "daemon.json", "dockerd.log", "dockerd.log.1", "data"}
    | {"exec", "docker.sock", "dockerd.pid", "lock", "overlay-probe"}
)
"""What an engine's folder may hold; see the table of `private`."""

_BLOCK = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineUsage:
    """What a private engine keeps on disk.

    Attributes:
        name: The engine.
        folder: Its folder.
        programs: The unpacked packages, in bytes.
        data: Images, containers and build cache, in bytes.
        build_cache: The build cache as the daemon counts it, in bytes, most of it part of `data`; None unless it runs.
        total: Everything in the folder, in bytes.
    """

    name: str
    folder: Path
    programs: int
    data: int
    build_cache: int | None
    total: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EnginePruned:
    """What was removed from a private engine, in bytes as the daemon counts them."""

    name: str
    build_cache: int
    images: int


def usage(folder: Path, name: str = DEFAULT_NAME) -> EngineUsage:
    """Return what the private engine `name` in `folder` keeps on disk, whether it runs or not.

    Raises:
        EngineError: if the name is not valid, the folder cannot be read, or the daemon does not answer.
    """
    status = private.status(folder, name)
    build_cache = None
    if status.running:
        with connect(status.endpoint()) as client:
            build_cache = sum(record.get("Size", 0) for record in client.df().get("BuildCache") or ())
    try:
        programs, data = _size(status.folder / "root"), _size(status.folder / "data")
        rest = sum(_size(path) for path in _entries(status.folder) if path.name not in ("root", "data", "exec"))
    except PermissionError as error:
        raise EngineError(
            f"cannot read the engine's folder {status.folder}", details=str(error), hint="run the command with sudo"
        ) from None
    return EngineUsage(
        name=name,
        folder=status.folder,
        programs=programs,
        data=data,
        build_cache=build_cache,
        total=programs + data + rest,
    )


def prune(folder: Path, name: str = DEFAULT_NAME) -> EnginePruned:
    """Remove the build cache of a running private engine, and images that have no name.

    Raises:
        EngineError: if the engine does not run, or refuses.
    """
    status = private.status(folder, name)
    if not status.running:
        raise EngineError(
            f"engine {name} is not running, so its cache cannot be pruned",
            hint=f"start it with `rtbuild engine start{option(name)}`, or remove it with "
            f"`rtbuild engine remove{option(name)}`",
        )
    with connect(status.endpoint()) as client:
        images = client.images.prune(filters={"dangling": True}).get("SpaceReclaimed") or 0
        cache = client.api.prune_builds(all=True).get("SpaceReclaimed") or 0
    return EnginePruned(name=name, build_cache=cache, images=images)


def remove(folder: Path, name: str = DEFAULT_NAME) -> EngineStatus:
    """Stop the private engine `name` and remove its folder with programs, images and cache. Needs root.

    Raises:
        EngineError: if the user is not root, the folder holds what no engine made, or it cannot be removed.
    """
    home = private.status(folder, name).folder
    if home.exists() and os.geteuid() != 0:
        raise EngineError("only root can remove a private engine", hint="run the command with sudo")
    foreign = sorted(path.name for path in _entries(home) if path.name not in _KNOWN)
    if foreign:
        raise EngineError(
            f"{home} holds what is not part of an engine: {', '.join(foreign[:3])}",
            hint="move that away, or remove the folder by hand",
        )
    stopped = private.stop(folder, name)
    try:
        if home.exists():
            shutil.rmtree(home)
    except OSError as error:
        raise EngineError(f"cannot remove {home}", details=str(error), hint="run the command again") from error
    return stopped


def option(name: str) -> str:
    """Return what selects the engine `name` on the command line."""
    return "" if name == DEFAULT_NAME else f" --name {name}"


def _entries(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except FileNotFoundError:
        return []


def _size(path: Path) -> int:
    """Return the space that `path` takes on its file system, in bytes; each file counts once, whatever its names."""
    try:
        status = path.lstat()
    except FileNotFoundError:
        return 0
    total, seen, device = status.st_blocks * _BLOCK, set[int](), status.st_dev
    folders = [path] if path.is_dir() and not path.is_symlink() else []
    while folders:
        try:
            listing = list(os.scandir(folders.pop()))
        except FileNotFoundError:
            continue  # a running daemon removes folders at any time
        for entry in listing:
            try:
                status = entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue
            if status.st_dev != device or status.st_ino in seen:
                continue  # what is mounted there is counted where it lies
            if status.st_nlink > 1 and not entry.is_dir(follow_symlinks=False):
                seen.add(status.st_ino)
            total += status.st_blocks * _BLOCK
            if entry.is_dir(follow_symlinks=False):
                folders.append(Path(entry.path))
    return total
