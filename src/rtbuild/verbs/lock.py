"""The `lock` verb: choose every artifact of a release, or of a private engine, and write the lockfile."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rtbuild.errors import LockError
from rtbuild.lockfile.changes import PackageChange, compare_locks
from rtbuild.lockfile.check import outdated_format, stale_parts
from rtbuild.lockfile.model import EngineLock, Lock, LockedSuite
from rtbuild.lockfile.read import write_engine_lock, write_lock
from rtbuild.platform import Platform, host_platform
from rtbuild.progress import Progress, Silent
from rtbuild.settings import Settings, load_settings
from rtbuild.workspace import Workspace

if TYPE_CHECKING:
    from rtbuild.resolve.environment import LockEnvironment


@dataclass(frozen=True, slots=True, kw_only=True)
class LockResult:
    """A lock that was made.

    Attributes:
        release: The version, such as `8.0.0`.
        platform: The platform that it is for.
        path: The lockfile that was written.
        lock: The lock.
        is_new: Whether there was no lock before, or none that could be read.
        changed: Whether it differs from the lock before.
        moved: The packages that differ from the lock before, sorted by kind and name.
    """

    release: str
    platform: Platform
    path: Path
    lock: Lock
    is_new: bool
    changed: bool
    moved: tuple[PackageChange, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineLockResult:
    """A private engine's lock that was made.

    Attributes:
        engine: The name of the engine.
        platform: The platform that it is for.
        path: The lockfile that was written.
        lock: The lock.
    """

    engine: str
    platform: Platform
    path: Path
    lock: EngineLock


def lock(  # noqa: PLR0913
    workspace: Workspace,
    release: str,
    *,
    platform: Platform | None = None,
    settings: Settings | None = None,
    upgrade: Mapping[str, str | None] | None = None,
    refresh: bool = False,
    allow_older_archive: bool = False,
    progress: Progress | None = None,
) -> LockResult:
    """Choose every artifact of `release` (`8.0` or `8.0.0`) and write the lockfile.

    Versions in the existing lock stay, unless a recipe or `upgrade` moves them. Like every public verb, it takes
    its options as keywords.

    Args:
        platform: The platform to lock for; this machine's by default.
        settings: Where to find mirrors and the store; by default the settings of the workspace's `rtbuild.toml`.
        upgrade: The version to move each named package to, or None for the newest that fits.
        refresh: Ignore the existing lock and choose everything from scratch.
        allow_older_archive: Accept Debian suites in an older state than the one that the existing lock was made with.

    Raises:
        RecipeError: if the release is unknown, a recipe is malformed, or the release does not support the platform.
        UsageError: if an upgrade names a package that is not locked.
        LockError: if the existing lock is malformed; pass `refresh` to ignore it.
        ResolutionError: if no set of packages satisfies the recipes.
        MirrorError: if no mirror serves an index or a file.
        IntegrityError: if the mirrors serve other bytes than were signed or promised, or a suite in an older state than
            the existing lock was made with.
        StoreError: if the store is not readable or writable.
    """
    from rtbuild.resolve.lock import resolve_lock

    target = platform or host_platform()
    recipe = workspace.release(release)
    recipe.require_platform(target)
    before = _existing(workspace, recipe.version, target, lenient=refresh)
    trusted = before.suites if before and not allow_older_archive else ()
    with _lock_environment(workspace, settings, progress, trusted) as environment:
        locked = None if refresh else before
        chosen = resolve_lock(recipe, target, environment, locked=locked, upgrade=upgrade)
    path = workspace.lock_path(recipe.version, target)
    write_lock(path, chosen)
    return LockResult(
        release=recipe.version,
        platform=target,
        path=path,
        lock=chosen,
        is_new=before is None,
        changed=chosen != before,
        moved=compare_locks(before, chosen),
    )


def check_lock(workspace: Workspace, release: str, *, platform: Platform | None = None) -> tuple[str, ...]:
    """Return what is stale or missing in the lock of `release`, one line each; empty if the lock fits its recipes.

    Needs no network. `platform` is this machine's by default.

    Raises:
        RecipeError: if the release is unknown, a recipe is malformed, or the release does not support the platform.
        LockError: if the lock is malformed.
    """
    target = platform or host_platform()
    recipe = workspace.release(release)
    recipe.require_platform(target)
    if not workspace.lock_path(recipe.version, target).exists():
        return (f"there is no lock of {recipe.version} for {target}",)
    lock = workspace.read_lock(recipe.version, target)
    return (*outdated_format(lock), *stale_parts(recipe, lock))


def lock_engine(
    workspace: Workspace,
    name: str,
    *,
    platform: Platform | None = None,
    settings: Settings | None = None,
    allow_older_archive: bool = False,
    progress: Progress | None = None,
) -> EngineLockResult:
    """Choose the newest packages that the recipe of the private engine `name` allows, and write its lockfile.

    `platform`, `settings` and `allow_older_archive` are as in `lock`.

    Raises:
        RecipeError: if the engine is unknown or its recipe is malformed.
        ResolutionError: if a suite does not have a package.
        MirrorError: if no mirror serves an index or a file.
        IntegrityError: if the mirrors serve other bytes than were signed, or a suite in an older state than the
            existing lock was made with.
        StoreError: if the store is not readable or writable.
    """
    from rtbuild.resolve.lock import resolve_engine_lock

    target = platform or host_platform()
    recipe = workspace.engine(name)
    path = workspace.engine_lock_path(recipe.name, target)
    trusted: tuple[LockedSuite, ...] = ()
    if path.exists() and not allow_older_archive:
        with suppress(LockError):  # an engine's lock is always made from scratch, whatever is in its place
            trusted = workspace.read_engine_lock(name, target).suites
    with _lock_environment(workspace, settings, progress, trusted) as environment:
        chosen = resolve_engine_lock(recipe, target, environment)
    write_engine_lock(path, chosen)
    return EngineLockResult(engine=recipe.name, platform=target, path=path, lock=chosen)


def _existing(workspace: Workspace, version: str, platform: Platform, *, lenient: bool) -> Lock | None:
    """Read the lock so far, if there is one. With `lenient`, a malformed lock counts as missing."""
    if not workspace.lock_path(version, platform).exists():
        return None
    try:
        return workspace.read_lock(version, platform)
    except LockError as error:
        if lenient:
            return None
        hint = f"restore it from version control, or ignore it with: rtbuild lock {version} --refresh"
        raise LockError(error.brief, details=error.details, hint=hint) from error


@contextmanager
def _lock_environment(
    workspace: Workspace,
    settings: Settings | None,
    progress: Progress | None,
    trusted: tuple[LockedSuite, ...],
) -> Iterator[LockEnvironment]:
    """Open the store's caches, connections to the machine's mirrors, and a process for pip."""
    from rtbuild.mirror.find import find_mirrors
    from rtbuild.mirror.remote import CACHE, MirrorSources, open_web
    from rtbuild.resolve.environment import LockEnvironment
    from rtbuild.resolve.python.process import PipProcess
    from rtbuild.store.store import Store

    settings = settings or load_settings({}, workspace.root)
    progress = progress or Silent()
    store = Store.open(settings.store, progress)
    with closing(open_web(settings)) as web, PipProcess() as pip:
        sources = MirrorSources(find_mirrors(settings), store.cache(CACHE), web=web, progress=progress)
        yield LockEnvironment(sources=sources, pip=pip, cache=store.cache("pip"), progress=progress, trusted=trusted)
