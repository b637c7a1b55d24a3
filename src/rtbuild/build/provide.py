"""An engine for the build: what the machine has, or else a private one from the project's engine lock."""

from __future__ import annotations

import os

from rtbuild.engine import Engine, EngineStatus, find_engine, start_engine
from rtbuild.engine.private import DEFAULT_NAME
from rtbuild.platform import host_platform
from rtbuild.progress import Progress
from rtbuild.project import Project
from rtbuild.settings import Settings
from rtbuild.store import Store


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
    """Fetch the packages of the engine's lock and have it running; see `rtbuild.engine.start_engine`."""
    from rtbuild.fetch import fetch  # as in build.build

    lock = project.read_engine_lock(name, host_platform())
    fetch(lock.debs, store, settings, progress=progress)
    return start_engine(lock, store.artifact_path, settings.engine_dir, name=name, progress=progress)
