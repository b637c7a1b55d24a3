"""A workspace: the folder with `recipes/` and `runtime.lock/`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rtbuild.errors import LockError, RecipeError
from rtbuild.lockfile.model import EngineLock, Lock
from rtbuild.lockfile.read import FOLDER, read_engine_lock, read_lock
from rtbuild.platform import PLATFORMS, Platform
from rtbuild.recipe.model import EngineRecipe, Release
from rtbuild.recipe.read import list_engines, list_releases, read_engine, read_release
from rtbuild.store.collect import Roots


@dataclass(frozen=True, slots=True, kw_only=True)
class Workspace:
    """A workspace; `root` is an absolute path."""

    root: Path

    @classmethod
    def find(cls, start: Path | None = None) -> Workspace:
        """The workspace that `start` (or the current folder) lies in; raises `RecipeError` where there is none."""
        begin = (start or Path.cwd()).absolute()
        for folder in (begin, *begin.parents):
            if (folder / "recipes").is_dir():
                return cls(root=folder)
        hint = "run it in a workspace, or name one with --workspace"
        raise RecipeError(f"{begin}: neither this folder nor one above it has a recipes/ folder", hint=hint)

    def releases(self) -> tuple[str, ...]:
        """The versions that have a recipe, oldest first."""
        return list_releases(self.root)

    def engines(self) -> tuple[str, ...]:
        """The private engines that have a recipe."""
        return list_engines(self.root)

    def resolve(self, name: str) -> str:
        """The version that `name` means: itself, or for a series (`8.0`) its newest patch that has a recipe.

        Raises `RecipeError` where there is none.
        """
        known = self.releases()
        if name in known:
            return name
        patches = [version for version in known if version.rpartition(".")[0] == name]
        if patches:
            return patches[-1]
        raise RecipeError(f"unknown release {name!r}", hint=f"known releases: {', '.join(known) or 'none'}")

    def release(self, name: str) -> Release:
        """The release that `name` means (see `resolve`)."""
        return read_release(self.root, self.resolve(name))

    def engine(self, name: str) -> EngineRecipe:
        """The recipe of the private engine `name`."""
        return read_engine(self.root, name)

    def lock_path(self, version: str, platform: Platform) -> Path:
        """Where the lock of one (release, platform) is."""
        return self.root / FOLDER / version / f"{platform.slug}.toml"

    def engine_lock_path(self, name: str, platform: Platform) -> Path:
        """Where the lock of one (engine, platform) is."""
        return self.root / FOLDER / "engines" / name / f"{platform.slug}.toml"

    def read_lock(self, version: str, platform: Platform) -> Lock:
        """The lock of one (release, platform); raises `LockError` where it is missing, malformed or another one's."""
        path = self.lock_path(version, platform)
        hint = f"make it with: rtbuild lock {version} --platform {platform}"
        lock = read_lock(path, hint=hint)
        if (lock.release, lock.platform) != (version, platform):
            raise LockError(f"{self.relative(path)}: is the lock of {lock.release} for {lock.platform}", hint=hint)
        return lock

    def read_engine_lock(self, name: str, platform: Platform) -> EngineLock:
        """The lock of one (engine, platform); raises `LockError` where it is missing, malformed or another one's."""
        path = self.engine_lock_path(name, platform)
        hint = f"make it with: rtbuild engine lock --name {name} --platform {platform}"
        lock = read_engine_lock(path, hint=hint)
        if (lock.engine, lock.platform) != (name, platform):
            raise LockError(f"{self.relative(path)}: is the lock of {lock.engine} for {lock.platform}", hint=hint)
        return lock

    def wanted(self) -> Roots:
        """What the workspace's locks refer to, those of its private engines included: what `Store.gc` is to keep.

        Raises `LockError`.
        """
        releases = [(version, one) for version in self.releases() for one in PLATFORMS.values()]
        engines = [(name, one) for name in self.engines() for one in PLATFORMS.values()]
        return Roots.of_locks(
            [self.read_lock(*lock) for lock in releases if self.lock_path(*lock).is_file()],
            [self.read_engine_lock(*lock) for lock in engines if self.engine_lock_path(*lock).is_file()],
        )

    def relative(self, path: Path) -> str:
        """`path` as messages name it: relative to the workspace."""
        return path.relative_to(self.root).as_posix()
