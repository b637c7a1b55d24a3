"""The `fetch` verb: put everything that a build takes into the store."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from rtbuild.errors import EngineError
from rtbuild.lockfile.model import DebArtifact
from rtbuild.mirror.download import FetchReport, fetch_artifacts
from rtbuild.platform import Platform, host_platform
from rtbuild.progress import Progress, Silent
from rtbuild.settings import Settings, load_settings
from rtbuild.store.store import Store
from rtbuild.workspace import Workspace


def fetch(
    workspace: Workspace,
    release: str,
    *,
    platform: Platform | None = None,
    settings: Settings | None = None,
    engine: bool = False,
    progress: Progress | None = None,
) -> FetchReport:
    """Put every file that building a release takes into the store, so that a build needs no network.

    Args:
        workspace: The folder with recipes and locks.
        release: A version (`8.0.0`) or a series (`8.0`, its newest release).
        platform: The platform to fetch for; this machine's by default.
        settings: Where files are kept and come from; by default those of `rtbuild.toml` in the workspace.
        engine: Fetch the packages of the private engine in any case. By default they are fetched only if this machine
            has no usable Docker and the engine is not unpacked yet.
        progress: Listener for progress; none by default.

    Raises:
        RecipeError: if a recipe is missing or malformed.
        LockError: if a lock is missing, malformed, or stale in a local package.
        MirrorError: if no mirror serves a file.
        IntegrityError: if mirrors serve other bytes than the lock names.
        StoreError: if the store cannot be written.
    """
    progress = progress or Silent()
    settings = settings or load_settings({}, workspace.root)
    locked = workspace.read(release, platform)
    store = Store.open(settings.store, progress)
    if any(artifact.local for artifact in locked.lock.pythons):
        from rtbuild.wheels.local import store_local

        store_local(locked.release, locked.lock, store)
    artifacts, suites = locked.lock.remote, locked.release.suites
    # Asking Docker takes as long as fetching a few hundred files: it is done meanwhile.
    with ThreadPoolExecutor(1, thread_name_prefix="engine") as pool:
        asked = pool.submit(_missing_engine, workspace, settings, always=engine)
        report = fetch_artifacts(artifacts, store, settings, suites=suites, progress=progress)
        fetched = {artifact.sha256 for artifact in artifacts}
        missing = [package for package in asked.result() if package.sha256 not in fetched]
    if not missing:
        return report
    progress.note("fetching the packages of a private engine as well")
    suites = (*suites, *workspace.engine(_default_engine()).suites)
    return report.with_more(fetch_artifacts(missing, store, settings, suites=suites, progress=progress))


def engine_packages(workspace: Workspace) -> tuple[DebArtifact, ...]:
    """Return the packages of the private engine that a build on this machine would start; none if it is not locked."""
    name = _default_engine()
    if not workspace.engine_lock_path(name, host_platform()).is_file():
        return ()
    return workspace.read_engine_lock(name, host_platform()).debs


def _missing_engine(workspace: Workspace, settings: Settings, *, always: bool) -> tuple[DebArtifact, ...]:
    """Return the packages of an engine that a build here would have to fetch, or those of any engine if `always`.

    That is none if a Docker is named or usable, or the private engine is unpacked.
    """
    packages = engine_packages(workspace)
    if always or not packages:
        return packages
    if settings.builder or settings.docker_host or settings.docker_context:
        return ()
    from rtbuild.engine import private, select

    # First, because it takes no time: select.find runs several `docker` commands.
    if private.status(settings.engine_dir).packages == private.packages_digest(packages):
        return ()
    try:
        select.find(settings)
    except EngineError:
        return packages
    return ()


def _default_engine() -> str:
    # The engine room takes a third of the time that importing this module does, and can wait until files arrive.
    from rtbuild.engine.private import DEFAULT_NAME

    return DEFAULT_NAME
