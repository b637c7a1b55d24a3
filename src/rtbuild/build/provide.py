"""An engine for the build: what the machine has, or else a private one from the project's engine lock."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rtbuild.engine import Engine, EngineStatus, engine_status, find_engine, start_engine
from rtbuild.engine.private import DEFAULT_NAME, packages_digest, require_host
from rtbuild.errors import EngineError, StaleLockError
from rtbuild.lock.check import stale_engine_parts
from rtbuild.lock.local import store_local
from rtbuild.lock.model import Artifact, DebArtifact, EngineLock, Lock
from rtbuild.platform import Platform, host_platform
from rtbuild.progress import Progress
from rtbuild.project import Project
from rtbuild.settings import Settings
from rtbuild.store import Store

if TYPE_CHECKING:
    from rtbuild.fetch import FetchReport  # its HTTP client loads slowly, and most builds need none


def open_engine(project: Project, settings: Settings, store: Store, progress: Progress) -> Engine:
    """The engine that `settings` name, the machine's Docker, or the private one, started where it does not run yet.

    Raises `EngineError` where none of them will do; only root can start a private engine.
    """

    def start() -> EngineStatus:
        progress.note("no usable Docker on this machine: starting a private engine (`rtbuild engine stop` ends it)")
        return start_private_engine(project, settings, store, progress)

    return find_engine(settings, start=start if os.geteuid() == 0 else None)


def start_private_engine(
    project: Project, settings: Settings, store: Store, progress: Progress, *, name: str = DEFAULT_NAME
) -> EngineStatus:
    """Have the engine of a lock running; its packages are fetched where they are not unpacked yet.

    Raises `RecipeError` for an engine without a recipe, `LockError` (`StaleLockError`), what `fetch` raises, and
    `EngineError`; see `rtbuild.engine.start_engine`.
    """
    lock = fresh_engine_lock(project, name, host_platform())
    require_host(lock)
    if engine_status(settings.engine_dir, name).packages != packages_digest(lock.debs):
        from rtbuild.fetch import fetch

        fetch(lock.debs, store, settings, suites=project.engine(name).suites, progress=progress)
    return start_engine(lock, store.artifact_path, settings.engine_dir, name=name, progress=progress)


def fresh_engine_lock(project: Project, name: str, platform: Platform) -> EngineLock:
    """The lock of the private engine `name`; raises `StaleLockError` where its recipe has changed since."""
    recipe = project.engine(name)
    lock = project.read_engine_lock(name, platform)
    stale = stale_engine_parts(recipe, lock)
    if stale:
        raise StaleLockError(
            f"{project.relative(project.engine_lock_path(name, platform))}: made from another recipe",
            details="\n".join(stale),
            hint=f"make it again with: rtbuild engine lock --name {name} --platform {platform}",
        )
    return lock


def engine_packages(project: Project) -> tuple[DebArtifact, ...]:
    """The packages of the private engine that a build on this machine would start; none where no lock names any."""
    if not project.engine_lock_path(DEFAULT_NAME, host_platform()).is_file():
        return ()
    return project.read_engine_lock(DEFAULT_NAME, host_platform()).debs


def fetch_release(
    project: Project, lock: Lock, settings: Settings, store: Store, progress: Progress, *, engine: bool = False
) -> FetchReport:
    """Put everything into `store` that building by `lock` takes.

    The packages of a private engine are among it where this machine has no Docker that will do and they are not
    unpacked yet, and with `engine` in any case. Raises what `fetch` raises, `RecipeError` and `LockError`.
    """
    from rtbuild.fetch import fetch

    recipe = project.release(lock.release)
    artifacts: tuple[Artifact, ...] = lock.remote
    suites = recipe.suites
    packages = engine_packages(project)
    if packages and (engine or _lacks_engine(settings, packages)):
        progress.note("the packages of a private engine are fetched too")
        artifacts, suites = (*artifacts, *packages), (*suites, *project.engine(DEFAULT_NAME).suites)
    store_local(recipe, lock, store)
    return fetch(artifacts, store, settings, suites=suites, progress=progress)


def _lacks_engine(settings: Settings, packages: Sequence[DebArtifact]) -> bool:
    """True if a build here would have to fetch `packages`: nothing on this machine will do, and nothing is named."""
    if settings.builder or settings.docker_host or settings.docker_context:
        return False
    try:
        find_engine(settings)
    except EngineError:
        return engine_status(settings.engine_dir).packages != packages_digest(packages)
    return False
