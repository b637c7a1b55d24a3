"""The `list` verb: the releases that have a recipe."""

from __future__ import annotations

from dataclasses import dataclass

from rtbuild.derivations.plan import plan_release
from rtbuild.platform import Platform
from rtbuild.recipe.model import Release
from rtbuild.settings import Settings, load_settings
from rtbuild.store.store import Store
from rtbuild.workspace import Workspace


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedRelease:
    """A release, the platforms that have a lock, and those whose layers are all in the store."""

    release: Release
    locked: tuple[Platform, ...]
    built: tuple[Platform, ...]


def list_releases(workspace: Workspace, *, settings: Settings | None = None) -> tuple[ListedRelease, ...]:
    """Return every release of a workspace, oldest first.

    Args:
        workspace: The folder with recipes and locks.
        settings: Where the store is; by default that of `rtbuild.toml` in the workspace.

    Raises:
        RecipeError: if a recipe is malformed.
        LockError: if a lock is malformed.
        StoreError: if the store cannot be read.
    """
    settings = settings or load_settings({}, workspace.root)
    store = Store.read_only(settings.store)
    return tuple(_listed(workspace, workspace.release(version), store) for version in workspace.releases())


def _listed(workspace: Workspace, release: Release, store: Store) -> ListedRelease:
    locked, built = [], []
    for platform in release.platforms:
        if workspace.lock_path(release.version, platform).is_file():
            locked.append(platform)
            if not plan_release(release, workspace.read_lock(release.version, platform), store).missing:
                built.append(platform)
    return ListedRelease(release=release, locked=tuple(locked), built=tuple(built))
