"""The `fetch` verb: put everything that a build takes into the store."""

from __future__ import annotations

from collections.abc import Sequence

from rtbuild.engine.private import DEFAULT_NAME, engine_status, packages_digest
from rtbuild.engine.select import find_engine
from rtbuild.errors import EngineError
from rtbuild.lockfile.model import Artifact, DebArtifact, Lock
from rtbuild.mirror.download import FetchReport, fetch
from rtbuild.platform import host_platform
from rtbuild.progress import Progress
from rtbuild.settings import Settings
from rtbuild.store.store import Store
from rtbuild.wheels.local import store_local
from rtbuild.workspace import Workspace


def fetch_release(
    workspace: Workspace, lock: Lock, settings: Settings, store: Store, progress: Progress, *, engine: bool = False
) -> FetchReport:
    """Put everything into `store` that building by `lock` takes.

    The packages of a private engine are among it where this machine has no Docker that will do and they are not
    unpacked yet, and with `engine` in any case. Raises what `fetch` raises, `RecipeError` and `LockError`.
    """
    recipe = workspace.release(lock.release)
    artifacts: tuple[Artifact, ...] = lock.remote
    suites = recipe.suites
    packages = engine_packages(workspace)
    if packages and (engine or _lacks_engine(settings, packages)):
        progress.note("the packages of a private engine are fetched too")
        artifacts, suites = (*artifacts, *packages), (*suites, *workspace.engine(DEFAULT_NAME).suites)
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


def engine_packages(workspace: Workspace) -> tuple[DebArtifact, ...]:
    """The packages of the private engine that a build on this machine would start; none where no lock names any."""
    if not workspace.engine_lock_path(DEFAULT_NAME, host_platform()).is_file():
        return ()
    return workspace.read_engine_lock(DEFAULT_NAME, host_platform()).debs
