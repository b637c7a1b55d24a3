"""A workspace: the folder that holds `recipes/` and `runtime.lock/`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rtbuild.errors import LockError, RecipeError
from rtbuild.lockfile.folder import LOCK_FOLDER, release_lock
from rtbuild.platform import PLATFORMS, Platform, host_platform
from rtbuild.recipe.model import EngineRecipe, Release
from rtbuild.recipe.read import list_engines, list_releases, read_engine, read_release

# A list of releases reads no lock if it can help it: the methods that do import the modules for it.
if TYPE_CHECKING:
    from rtbuild.lockfile.model import EngineLock, Lock
    from rtbuild.store.collect import Roots


@dataclass(frozen=True, slots=True, kw_only=True)
class LockedRelease:
    """A release and its lock on one platform: what a verb reads once and passes on.

    Attributes:
        release: What the recipes say.
        lock: What the lockfile says.
        path: The lockfile.
        lock_name: The lockfile as messages name it: its path in the workspace.
    """

    release: Release
    lock: Lock
    path: Path
    lock_name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Workspace:
    """A folder with recipes and locks. Each method reads the files again.

    Attributes:
        root: The absolute path of the folder.
    """

    root: Path

    @classmethod
    def find(cls, start: str | Path | None = None) -> Workspace:
        """Return the workspace that contains the folder `start`, the current folder by default.

        Raises:
            RecipeError: if neither the folder nor one above it is a workspace.
        """
        begin = Path(start or Path.cwd()).absolute()
        for folder in (begin, *begin.parents):
            if (folder / "recipes").is_dir():
                return cls(root=folder)
        hint = "change into a workspace, or name one with --workspace"
        raise RecipeError(f"{begin}: neither this folder nor one above it has a recipes/ folder", hint=hint)

    def releases(self) -> tuple[str, ...]:
        """Return the versions that have a recipe, oldest first.

        Raises:
            RecipeError: if a recipe is not named after a version.
        """
        return list_releases(self.root)

    def engines(self) -> tuple[str, ...]:
        """Return the names of the private engines that have a recipe."""
        return list_engines(self.root)

    def resolve(self, name: str) -> str:
        """Return the version that `name` means: itself, or for a series (`8.0`) its newest release.

        Raises:
            RecipeError: if there is no such release.
        """
        versions = self.releases()
        if name in versions:
            return name
        series = [version for version in versions if version.rpartition(".")[0] == name]
        if series:
            return series[-1]
        raise RecipeError(f"unknown release {name!r}", hint=f"known releases: {', '.join(versions) or 'none'}")

    def release(self, name: str) -> Release:
        """Return the release that `name` means (see `resolve`).

        Raises:
            RecipeError: if there is no such release, or a recipe of it is missing or malformed.
        """
        return read_release(self.root, self.resolve(name))

    def engine(self, name: str) -> EngineRecipe:
        """Return the recipe of the private engine `name`.

        Raises:
            RecipeError: if the recipe is missing or malformed.
        """
        return read_engine(self.root, name)

    def lock_path(self, version: str, platform: Platform) -> Path:
        """Return where the lock of a release for a platform is, whether it exists or not."""
        return self.root / release_lock(version, platform)

    def engine_lock_path(self, name: str, platform: Platform) -> Path:
        """Return where the lock of a private engine for a platform is, whether it exists or not."""
        return self.root / LOCK_FOLDER / "engines" / name / f"{platform.slug}.toml"

    def read_lock(self, version: str, platform: Platform) -> Lock:
        """Read the lock of a release for a platform.

        Raises:
            LockError: if the lock is missing, malformed, or that of another release or platform.
        """
        from rtbuild.lockfile.read import read_lock
        from rtbuild.lockfile.remedy import lock_remedy

        path, remedy = self.lock_path(version, platform), lock_remedy(version, platform)
        lock = read_lock(path, remedy=remedy)
        if (lock.release, lock.platform) != (version, platform):
            what = f"is the lock of {lock.release} for {lock.platform}"
            raise LockError(f"{self.relative(path)}: {what}", hint=remedy.malformed)
        return lock

    def read(self, name: str, platform: Platform | None = None) -> LockedRelease:
        """Read the release that `name` means and its lock for `platform`, this machine's by default.

        Raises:
            RecipeError: if there is no such release, a recipe is malformed, or the release lacks the platform.
            LockError: if the lock is missing or malformed.
        """
        target = platform or host_platform()
        release = self.release(name)
        release.require_platform(target)
        path = self.lock_path(release.version, target)
        lock = self.read_lock(release.version, target)
        return LockedRelease(release=release, lock=lock, path=path, lock_name=self.relative(path))

    def read_engine_lock(self, name: str, platform: Platform) -> EngineLock:
        """Read the lock of a private engine for a platform.

        Raises:
            LockError: if the lock is missing, malformed, or that of another engine or platform.
        """
        from rtbuild.lockfile.read import read_engine_lock
        from rtbuild.lockfile.remedy import engine_lock_remedy

        path, remedy = self.engine_lock_path(name, platform), engine_lock_remedy(name, platform)
        lock = read_engine_lock(path, remedy=remedy)
        if (lock.engine, lock.platform) != (name, platform):
            what = f"is the lock of {lock.engine} for {lock.platform}"
            raise LockError(f"{self.relative(path)}: {what}", hint=remedy.malformed)
        return lock

    def roots(self) -> Roots:
        """Return what all locks of releases and private engines refer to, which `Store.gc` then keeps.

        Raises:
            LockError: if a lock is malformed.
        """
        from rtbuild.store.collect import Roots

        releases = [(version, platform) for version in self.releases() for platform in PLATFORMS.values()]
        engines = [(name, platform) for name in self.engines() for platform in PLATFORMS.values()]
        return Roots.of_locks(
            [self.read_lock(*target) for target in releases if self.lock_path(*target).is_file()],
            [self.read_engine_lock(*target) for target in engines if self.engine_lock_path(*target).is_file()],
        )

    def relative(self, path: Path) -> str:
        """Return `path` as messages name it: relative to the workspace, with slashes."""
        return path.relative_to(self.root).as_posix()
