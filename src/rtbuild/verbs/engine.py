"""An engine for the build: what the machine has, or else a private one from the workspace's engine lock."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from rtbuild.engine.engine import Engine
from rtbuild.engine.private import (
    DEFAULT_NAME,
    EngineStatus,
    engine_status,
    packages_digest,
    require_host,
    start_engine,
)
from rtbuild.engine.select import find_engine
from rtbuild.errors import StaleLockError
from rtbuild.lockfile.check import stale_engine_parts
from rtbuild.lockfile.model import EngineLock
from rtbuild.platform import Platform, host_platform
from rtbuild.progress import Progress
from rtbuild.settings import Settings
from rtbuild.store.store import Store
from rtbuild.workspace import Workspace

if TYPE_CHECKING:
    pass  # its HTTP client loads slowly, and most builds need none


def open_engine(workspace: Workspace, settings: Settings, store: Store, progress: Progress) -> Engine:
    """The engine that `settings` name, the machine's Docker, or the private one, started where it does not run yet.

    Raises `EngineError` where none of them will do; only root can start a private engine.
    """

    def start() -> EngineStatus:
        progress.note("no usable Docker on this machine: starting a private engine (`rtbuild engine stop` ends it)")
        return start_private_engine(workspace, settings, store, progress)

    return find_engine(settings, start=start if os.geteuid() == 0 else None)


def start_private_engine(
    workspace: Workspace, settings: Settings, store: Store, progress: Progress, *, name: str = DEFAULT_NAME
) -> EngineStatus:
    """Have the engine of a lock running; its packages are fetched where they are not unpacked yet.

    Raises `RecipeError` for an engine without a recipe, `LockError` (`StaleLockError`), what `fetch` raises, and
    `EngineError`; see `rtbuild.engine.start_engine`.
    """
    lock = fresh_engine_lock(workspace, name, host_platform())
    require_host(lock)
    if engine_status(settings.engine_dir, name).packages != packages_digest(lock.debs):
        from rtbuild.mirror.download import fetch

        fetch(lock.debs, store, settings, suites=workspace.engine(name).suites, progress=progress)
    return start_engine(lock, store.artifact_path, settings.engine_dir, name=name, progress=progress)


def fresh_engine_lock(workspace: Workspace, name: str, platform: Platform) -> EngineLock:
    """The lock of the private engine `name`; raises `StaleLockError` where its recipe has changed since."""
    recipe = workspace.engine(name)
    lock = workspace.read_engine_lock(name, platform)
    stale = stale_engine_parts(recipe, lock)
    if stale:
        raise StaleLockError(
            f"{workspace.relative(workspace.engine_lock_path(name, platform))}: made from another recipe",
            details="\n".join(stale),
            hint=f"make it again with: rtbuild engine lock --name {name} --platform {platform}",
        )
    return lock
