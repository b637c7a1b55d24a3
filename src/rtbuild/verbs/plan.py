"""The `plan` verb: which layers a build would make, and why."""

from __future__ import annotations

from dataclasses import replace

from rtbuild.derivations.plan import Plan, plan_release
from rtbuild.formats.frames import COMPRESSORS
from rtbuild.lockfile.check import stale_parts
from rtbuild.platform import Platform
from rtbuild.settings import Settings, load_settings
from rtbuild.store.store import Store
from rtbuild.workspace import Workspace


def plan(
    workspace: Workspace, release: str, *, platform: Platform | None = None, settings: Settings | None = None
) -> Plan:
    """Plan every layer of a release from its lock and what the store holds. Touches neither network nor engine.

    Args:
        workspace: The folder with recipes and locks.
        release: A version (`8.0.0`) or a series (`8.0`, its newest release).
        platform: The platform to plan for; this machine's by default.
        settings: Where the store is; by default that of `rtbuild.toml` in the workspace.

    Raises:
        RecipeError: if a recipe is missing or malformed.
        LockError: if the lock is missing or malformed, or lacks the Python that the release names.
        StoreError: if the store cannot be read.
    """
    settings = settings or load_settings({}, workspace.root)
    locked = workspace.read(release, platform)
    compressor = COMPRESSORS[settings.compression]()
    planned = plan_release(locked.release, locked.lock, Store.read_only(settings.store), compressor=compressor.name)
    return replace(planned, stale=stale_parts(locked.release, locked.lock))
