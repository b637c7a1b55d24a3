"""The `engine` verbs: find the engine to build with; start, stop and inspect a workspace's private engines."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from rtbuild.engine import private, select, usage
from rtbuild.engine.engine import Engine
from rtbuild.engine.private import DEFAULT_NAME, EngineStatus
from rtbuild.engine.usage import EnginePruned, EngineUsage
from rtbuild.errors import StaleLockError
from rtbuild.lockfile.check import stale_engine_parts
from rtbuild.lockfile.model import EngineLock
from rtbuild.lockfile.remedy import engine_lock_remedy
from rtbuild.platform import Platform, host_platform
from rtbuild.progress import Progress, Silent
from rtbuild.settings import Settings, load_settings
from rtbuild.store.store import Store
from rtbuild.workspace import Workspace


def find_engine(workspace: Workspace | None, name: str = DEFAULT_NAME, *, settings: Settings | None = None) -> Engine:
    """Return the engine that a build would use; none is started.

    That is the builder, host or context that the settings name; else the machine's Docker, if it is new enough; else
    the private engine `name`, if it runs.

    Args:
        workspace: The folder with recipes and locks; None for none.
        name: The private engine.
        settings: Where engines are; by default those of `rtbuild.toml` in the workspace, or in the current folder.

    Raises:
        RecipeError: if the private engine is unknown.
        EngineError: if the named engine is not usable, or none is; the details say why.
    """
    return select.find(_known_settings(workspace, name, settings), name=name)


def start_engine(
    workspace: Workspace,
    name: str = DEFAULT_NAME,
    *,
    settings: Settings | None = None,
    progress: Progress | None = None,
) -> EngineStatus:
    """Start a private engine, unless it runs, and return once it answers. Needs root.

    Its packages are fetched if they are not unpacked yet.

    Args:
        workspace: The folder with recipes and locks.
        name: The engine; its recipe is `recipes/engines/<name>.toml`.
        settings: Where engines and files are; by default those of `rtbuild.toml` in the workspace.
        progress: Listener for progress; none by default.

    Raises:
        RecipeError: if the engine is unknown or its recipe is malformed.
        LockError: if its lock is missing or malformed; `StaleLockError` if the recipe changed since it was made.
        MirrorError: if no mirror serves a package.
        IntegrityError: if a package is damaged.
        StoreError: if the store cannot be read or written.
        EngineError: if this machine or user cannot run the engine, or it does not start.
    """
    progress = progress or Silent()
    settings = settings or _default_settings(workspace)
    return _start(workspace, name, settings, Store.open(settings.store, progress), progress)


def stop_engine(
    workspace: Workspace | None, name: str = DEFAULT_NAME, *, settings: Settings | None = None
) -> EngineStatus:
    """Stop a private engine and everything that it started; do nothing if it does not run. Needs root.

    Its images and its cache stay. The arguments are those of `engine_status`.

    Raises:
        RecipeError: if the engine is unknown.
        EngineError: if the user is not root, or a process does not end.
    """
    return private.stop(_known_settings(workspace, name, settings).engine_dir, name)


def engine_status(
    workspace: Workspace | None, name: str = DEFAULT_NAME, *, settings: Settings | None = None
) -> EngineStatus:
    """Return the state of a private engine, whether it was ever started or not.

    Args:
        workspace: The folder with recipes and locks; None for none, then any name is accepted.
        name: The engine.
        settings: Where engines are; by default those of `rtbuild.toml` in the workspace, or in the current folder.

    Raises:
        RecipeError: if the engine is unknown: it has no recipe and was never started.
        EngineError: if the name is not valid.
    """
    return private.status(_known_settings(workspace, name, settings).engine_dir, name)


def engine_usage(
    workspace: Workspace | None, name: str = DEFAULT_NAME, *, settings: Settings | None = None
) -> EngineUsage:
    """Return how much space a private engine uses. The arguments are those of `engine_status`.

    Raises:
        RecipeError: if the engine is unknown.
        EngineError: if its folder cannot be read, or its daemon does not answer.
    """
    return usage.usage(_known_settings(workspace, name, settings).engine_dir, name)


def prune_engine(
    workspace: Workspace | None, name: str = DEFAULT_NAME, *, settings: Settings | None = None
) -> EnginePruned:
    """Remove the build cache of a running private engine, and images without a name.

    The arguments are those of `engine_status`.

    Raises:
        RecipeError: if the engine is unknown.
        EngineError: if the engine does not run, or refuses.
    """
    return usage.prune(_known_settings(workspace, name, settings).engine_dir, name)


def remove_engine(
    workspace: Workspace | None, name: str = DEFAULT_NAME, *, settings: Settings | None = None
) -> EngineStatus:
    """Stop a private engine and remove its folder; do nothing if there is none. Needs root.

    The arguments are those of `engine_status`.

    Raises:
        RecipeError: if the engine is unknown.
        EngineError: if the user is not root, a process does not end, or the folder holds something else.
    """
    return usage.remove(_known_settings(workspace, name, settings).engine_dir, name)


def open_engine(workspace: Workspace, settings: Settings, store: Store, progress: Progress) -> Engine:
    """Return the engine to build with; start the private engine if it is needed and the user is root.

    Raises:
        EngineError: if the named engine is not usable, or none is; the details say why.
        RtbuildError: if the private engine cannot be started; see `start_engine`.
    """
    engine = select.find(settings, start=_starter(workspace, settings, store, progress))
    if engine.reason:
        progress.note(f"{engine.reason}: building with {engine.endpoint.title}")
    return engine


def open_docker(workspace: Workspace, settings: Settings, store: Store, progress: Progress) -> Engine:
    """Return the Docker that gets the images: the machine's if it has one, whatever it can build.

    Otherwise it is the private engine, which is started if the user is root.

    Raises:
        EngineError: if the named Docker does not answer, or there is none.
        RtbuildError: if the private engine cannot be started; see `start_engine`.
    """
    return select.find_docker(settings, start=_starter(workspace, settings, store, progress))


def _starter(
    workspace: Workspace, settings: Settings, store: Store, progress: Progress
) -> Callable[[], EngineStatus] | None:
    """Return what starts the private engine; None if the user is not root."""

    def start() -> EngineStatus:
        progress.note("no usable Docker found: starting a private engine (stop it with `rtbuild engine stop`)")
        return _start(workspace, DEFAULT_NAME, settings, store, progress)

    return start if os.geteuid() == 0 else None


def fresh_engine_lock(workspace: Workspace, name: str, platform: Platform) -> EngineLock:
    """Return the lock of a private engine.

    Raises:
        StaleLockError: if the recipe changed since the lock was made.
    """
    recipe = workspace.engine(name)
    lock = workspace.read_engine_lock(name, platform)
    stale = stale_engine_parts(recipe, lock)
    if stale:
        path = workspace.relative(workspace.engine_lock_path(name, platform))
        raise StaleLockError(
            f"{path}: stale, its recipe changed since it was made",
            details="\n".join(stale),
            hint=engine_lock_remedy(name, platform).stale,
        )
    return lock


def _start(workspace: Workspace, name: str, settings: Settings, store: Store, progress: Progress) -> EngineStatus:
    lock = fresh_engine_lock(workspace, name, host_platform())
    private.require_host(lock)
    if private.status(settings.engine_dir, name).packages != private.packages_digest(lock.debs):
        from rtbuild.mirror.download import fetch_artifacts  # its HTTP client loads slowly, and most calls need none

        suites = workspace.engine(name).suites
        fetch_artifacts(lock.debs, store, settings, suites=suites, progress=progress)
    return private.start(lock, store.artifact_path, settings.engine_dir, name=name, progress=progress)


def _default_settings(workspace: Workspace | None) -> Settings:
    return load_settings({}, workspace.root if workspace else Path.cwd())


def _known_settings(workspace: Workspace | None, name: str, settings: Settings | None) -> Settings:
    """Return the settings to use for the engine `name`.

    Raises:
        RecipeError: if the workspace has no recipe of it, unless it was started before.
    """
    settings = settings or _default_settings(workspace)
    if workspace and name != DEFAULT_NAME and not private.status(settings.engine_dir, name).folder.exists():
        workspace.engine(name)
    return settings
